"""Sampling with a GenerationConfig and a seed."""

import torch
from PIL import Image
from transformers import AutoProcessor, GenerationConfig, Ovis2ForConditionalGeneration

model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny")
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe the image."}]}]
prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
inputs = processor(images=Image.open("three_shapes.png"), text=prompt, return_tensors="pt")

config = GenerationConfig(
    do_sample=True, temperature=2.5, top_k=20, top_p=0.95, max_new_tokens=24, num_return_sequences=3,
    eos_token_id=model.generation_config.eos_token_id, pad_token_id=model.generation_config.pad_token_id,
)  # fmt: skip
torch.manual_seed(7)
ids = model.generate(**inputs, generation_config=config)
for text in processor.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True):
    print(text)
torch.manual_seed(8)
ids = model.generate(**inputs, do_sample=True, temperature=4.0, min_p=0.05, max_new_tokens=12)
print(ids[0, inputs["input_ids"].shape[1] :].tolist())
