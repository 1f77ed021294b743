"""Stopping at strings, and after a time."""

from PIL import Image
from transformers import AutoProcessor, Ovis2ForConditionalGeneration

model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny")
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe the image."}]}]
prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
inputs = processor(images=Image.open("nine_tiles.png"), text=prompt, return_tensors="pt")
length = inputs["input_ids"].shape[1]
for strings in ("cross", ["ellow c", " and"], ["nothing of the kind"]):
    out = model.generate(**inputs, max_new_tokens=30, stop_strings=strings, tokenizer=processor.tokenizer)
    print(repr(processor.decode(out[0, length:], skip_special_tokens=True)))
out = model.generate(**inputs, max_new_tokens=500, min_new_tokens=400, max_time=1e-6)
print(out.shape[1] - length)
