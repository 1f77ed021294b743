"""Pictures as files, bytes in base64, arrays and tensors."""

import base64

import numpy as np
import torch
from PIL import Image
from transformers import AutoProcessor

processor = AutoProcessor.from_pretrained("Ovis2-tiny")
name = "single_tile.png"
picture = Image.open(name).convert("RGB")
array = np.array(picture)
encoded = base64.b64encode(open(name, "rb").read()).decode()
for image in (
    name, picture, array, array.transpose(2, 0, 1), torch.from_numpy(array).permute(2, 0, 1), torch.from_numpy(array) / 255,
    f"data:image/png;base64,{encoded}", encoded,
):  # fmt: skip
    inputs = processor(images=image, text="<image>", return_tensors="pt")
    print(tuple(inputs.pixel_values.shape), f"{inputs.pixel_values.sum().item():.2f}")
content = [{"type": "image", "base64": encoded}, {"type": "image", "url": name}, {"type": "image", "image": picture}]
inputs = processor.apply_chat_template(
    [{"role": "user", "content": content}], tokenize=True, return_dict=True, return_tensors="pt"
)
print(inputs.pixel_values.shape, inputs.input_ids.shape)
