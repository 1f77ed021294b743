"""The authors' model card: several pictures, frames of a video, a text alone, and a conversation."""
import torch
from PIL import Image
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("tests/golden_original/checkpoint",
                                             torch_dtype=torch.float32,
                                             multimodal_max_length=8192,
                                             llm_attn_implementation="eager",
                                             trust_remote_code=True)
text_tokenizer = model.get_text_tokenizer()
visual_tokenizer = model.get_visual_tokenizer()
pictures = [Image.open(f"tests/golden_original/image{number}.png") for number in range(4)]


def answer(query, images, max_partition, **options):
    prompt, input_ids, pixel_values = model.preprocess_inputs(query, images, max_partition=max_partition, **options)
    attention_mask = torch.ne(input_ids, text_tokenizer.pad_token_id)
    input_ids = input_ids.unsqueeze(0).to(device=model.device)
    attention_mask = attention_mask.unsqueeze(0).to(device=model.device)
    if pixel_values is not None:
        pixel_values = pixel_values.to(dtype=visual_tokenizer.dtype, device=visual_tokenizer.device)
    pixel_values = [pixel_values]
    with torch.inference_mode():
        output_ids = model.generate(input_ids, pixel_values=pixel_values, attention_mask=attention_mask, max_new_tokens=8,
                                    do_sample=False, eos_token_id=None, pad_token_id=text_tokenizer.pad_token_id)[0]
    print(repr(prompt), tuple(input_ids.shape), output_ids.tolist())


# multiple-images input
images = pictures[:3]
text = "Describe each image."
query = "\n".join([f"Image {i+1}: <image>" for i in range(len(images))]) + "\n" + text
answer(query, images, 4)

# video input
frames = [picture.convert("RGB").resize((70, 50)) for picture in pictures]
query = "\n".join(["<image>"] * len(frames)) + "\n" + "Describe the video."
answer(query, frames, 1)

# text-only input
answer("Hello", [], None)

# a conversation, and the beginning of an answer
turns = [
    {"from": "system", "value": "Answer briefly."},
    {"from": "human", "value": "<image>\nWhat is it?"},
    {"from": "gpt", "value": "A picture."},
    {"from": "human", "value": "Of what?"},
]
answer(turns, pictures[:1], 9, generation_preface="It shows")
