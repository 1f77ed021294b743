"""Options of generate, and of the model's generation_config."""

import torch
from PIL import Image
from transformers import AutoProcessor, Ovis2ForConditionalGeneration

model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny")
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
prompt = processor.apply_chat_template(
    [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe the image."}]}],
    add_generation_prompt=True,
)
inputs = processor(images=Image.open("two_tiles.png"), text=prompt, return_tensors="pt")
length = inputs["input_ids"].shape[1]


def answer(**options):
    with torch.no_grad():
        ids = model.generate(**inputs, **options)
    return processor.post_process_image_text_to_text(ids[:, length:], skip_special_tokens=True)


print(model.generation_config.eos_token_id, model.generation_config.pad_token_id, model.generation_config.do_sample)
print(answer(max_new_tokens=3))
print(answer(max_length=length + 5))
print(answer(max_new_tokens=20, min_new_tokens=15, repetition_penalty=1.3))
print(
    answer(
        max_new_tokens=20, no_repeat_ngram_size=2, bad_words_ids=[[processor.tokenizer.convert_tokens_to_ids("Ġand")]]
    )
)
print(answer(max_new_tokens=20, num_beams=3, use_cache=None, synced_gpus=False, output_attentions=False))
model.generation_config.max_new_tokens = 4
model.generation_config.repetition_penalty = 1.5
print(answer())
print(answer(max_new_tokens=8, repetition_penalty=None))
