"""Batch inference with padding on the left."""

import torch
from PIL import Image
from transformers import AutoProcessor, Ovis2ForConditionalGeneration

processor = AutoProcessor.from_pretrained("Ovis2-tiny", padding_side="left")
model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny").eval()

images = [Image.open(name).convert("RGB") for name in ("single_tile.png", "nine_tiles.png", "two_tiles.png")]
questions = ["Describe the image.", "How many shapes are there?", "Is there a circle?"]
conversations = [
    [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}] for question in questions
]
texts = processor.apply_chat_template(conversations, add_generation_prompt=True)
inputs = processor(images=images, text=texts, padding=True, return_tensors="pt").to(model.device)
print(inputs["input_ids"].shape, inputs["attention_mask"].sum(-1).tolist(), tuple(inputs.pixel_values.shape))

with torch.no_grad():
    generated = model.generate(**inputs, max_new_tokens=32, do_sample=False)
answers = processor.batch_decode(generated[:, inputs.input_ids.size(1) :], skip_special_tokens=True)
for question, answer in zip(questions, answers):
    print(f"{question} -> {answer}")
