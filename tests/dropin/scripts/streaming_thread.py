"""Streaming from a thread, as chat demos do it."""

from threading import Thread

from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, TextIteratorStreamer

model = AutoModelForImageTextToText.from_pretrained("Ovis2-tiny").eval()
processor = AutoProcessor.from_pretrained("Ovis2-tiny")


def chat(image, question):
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
    inputs = processor(images=[image], text=prompt, return_tensors="pt").to(model.device)
    streamer = TextIteratorStreamer(processor, skip_prompt=True, skip_special_tokens=True, timeout=60)
    thread = Thread(target=model.generate, kwargs=dict(**inputs, streamer=streamer, max_new_tokens=30))
    thread.start()
    buffer = ""
    for new_text in streamer:
        buffer += new_text
        yield buffer
    thread.join()


for partial in chat(Image.open("nine_tiles.png"), "Describe the image."):
    pass
print(partial)
