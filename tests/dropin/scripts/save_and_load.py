"""Saved to a folder and loaded again."""

import tempfile

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained("Ovis2-tiny")
processor = AutoProcessor.from_pretrained("Ovis2-tiny", max_patches=4)
with tempfile.TemporaryDirectory() as folder:
    model.save_pretrained(folder, safe_serialization=True)
    processor.save_pretrained(folder)
    again = AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    processor_again = AutoProcessor.from_pretrained(folder)
    inputs = processor_again(images=Image.open("nine_tiles.png"), text="<image>\nHow many?", return_tensors="pt")
    print(inputs["pixel_values"].shape, processor_again.image_seq_length, processor_again.image_token)
    with torch.no_grad():
        print(torch.equal(model(**inputs).logits, again(**inputs).logits))
