"""Two pictures in one prompt."""

from PIL import Image
from transformers import Ovis2ForConditionalGeneration, Ovis2Processor

model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny")
processor = Ovis2Processor.from_pretrained("Ovis2-tiny")
pictures = [Image.open("single_tile.png"), Image.open("two_tiles.png")]
content = []
for i, _ in enumerate(pictures, start=1):
    content += [{"type": "text", "text": f"Image {i}: "}, {"type": "image"}]
content.append({"type": "text", "text": "Describe the image."})
text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
inputs = processor(images=pictures, text=text, return_tensors="pt")
print(text.count("<image>"), list(inputs), list(inputs["pixel_values"].shape))
ids = model.generate(**inputs, max_new_tokens=24, do_sample=False)
print(processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
