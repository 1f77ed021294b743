"""The answer printed while it is made."""

from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, TextStreamer

model = AutoModelForImageTextToText.from_pretrained("Ovis2-tiny").eval()
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
streamer = TextStreamer(processor.tokenizer, skip_prompt=True, skip_special_tokens=True)
prompt = processor.apply_chat_template(
    [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe the image."}]}],
    add_generation_prompt=True,
)
inputs = processor(images=Image.open("three_shapes.png"), text=prompt, return_tensors="pt").to(model.device)
_ = model.generate(**inputs, streamer=streamer, max_new_tokens=30)
