"""The loss of an answer, with the prompt masked out of the labels."""

import torch
from PIL import Image
from transformers import AutoProcessor, Ovis2ForConditionalGeneration

model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny").eval()
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
image = Image.open("three_shapes.png")
prompt = processor.apply_chat_template(
    [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe the image."}]}],
    add_generation_prompt=True,
)
prompt_length = processor(images=image, text=prompt, return_tensors="pt")["input_ids"].shape[1]
losses = {}
for answer in ("A yellow triangle, a red cross and a red circle.", "A blue square.", "There are three."):
    inputs = processor(images=image, text=prompt + answer + "<|im_end|>", return_tensors="pt")
    labels = inputs["input_ids"].clone()
    labels[:, :prompt_length] = -100
    with torch.no_grad():
        outputs = model(**inputs, labels=labels)
    losses[answer] = outputs.loss.item()
    print(f"{answer} loss {outputs.loss:.3f} perplexity {torch.exp(outputs.loss).item():.3g}")
print(min(losses, key=losses.get))
