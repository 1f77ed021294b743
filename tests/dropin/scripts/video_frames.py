"""The frames of a clip as pictures of one tile each."""

import numpy as np
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained("Ovis2-tiny")
processor = AutoProcessor.from_pretrained("Ovis2-tiny")

clip = np.stack([np.roll(np.asarray(Image.open("single_tile.png").convert("RGB")), 6 * i, axis=1) for i in range(12)])
indices = np.linspace(0, len(clip) - 1, 4).astype(int)
frames = [Image.fromarray(clip[i]) for i in indices]
content = [{"type": "image"} for _ in frames] + [{"type": "text", "text": "How many shapes are there?"}]
prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
inputs = processor(images=frames, text=prompt, max_patches=1, return_tensors="pt")
print(len(inputs.pixel_values), inputs.input_ids.shape[-1])
answer = model.generate(**inputs, max_new_tokens=16)[0][inputs.input_ids.shape[-1] :]
print(processor.decode(answer, skip_special_tokens=True))
