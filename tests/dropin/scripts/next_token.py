"""The five likeliest next tokens, from the logits."""

import torch
from PIL import Image
from transformers import AutoProcessor, Ovis2ForConditionalGeneration

model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny").eval()
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What colour is the circle?"}]}]
prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
inputs = processor(images=Image.open("three_shapes.png"), text=prompt, return_tensors="pt")
with torch.no_grad():
    outputs = model(**inputs, return_dict=True)
print(outputs.logits.shape, outputs.logits.dtype, "logits" in outputs, outputs.loss)
probabilities = torch.softmax(outputs.logits[0, -1].float(), dim=-1)
top = torch.topk(probabilities, 5)
for p, token in zip(top.values, top.indices):
    print(f"{processor.tokenizer.decode([token])!r}: {p.item():.4f}")
last = model(**inputs, logits_to_keep=1).logits
print(
    last.shape, torch.allclose(last[0, -1], outputs.logits[0, -1], atol=1e-4), outputs[0].shape == outputs.logits.shape
)
