"""Padding set on the tokenizer, as many scripts do it."""

import torch
from PIL import Image
from transformers import AutoProcessor, Ovis2ForConditionalGeneration

processor = AutoProcessor.from_pretrained("Ovis2-tiny")
processor.tokenizer.padding_side = "left"
if processor.tokenizer.pad_token is None:
    processor.tokenizer.pad_token = processor.tokenizer.eos_token
model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny")

image = Image.open("three_shapes.png")
prompts = []
for question in ("Is there a red circle?", "What colour is the triangle?"):
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    prompts.append(processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
batch = processor(text=prompts, images=[[image], [image]], padding="longest", return_tensors="pt")
print(batch.input_ids[:, :6].tolist(), batch.attention_mask[:, :6].tolist())
with torch.no_grad():
    ids = model.generate(**batch, max_new_tokens=20, pad_token_id=processor.tokenizer.pad_token_id)
print(processor.batch_decode(ids[:, batch.input_ids.shape[1] :], skip_special_tokens=True))
