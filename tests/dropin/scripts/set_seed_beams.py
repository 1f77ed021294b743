"""set_seed, and beams that are sampled."""

import torch
from PIL import Image
from transformers import AutoProcessor, Ovis2ForConditionalGeneration, set_seed

set_seed(42)
device = torch.device("cpu")
model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny").to(device)
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
prompt = "<|im_start|>user\n<image>\nDescribe the image.<|im_end|>\n<|im_start|>assistant\n"
inputs = processor(images=Image.open("two_tiles.png"), text=prompt, return_tensors="pt").to(device)
set_seed(3)
ids = model.generate(**inputs, do_sample=True, num_beams=3, temperature=1.5, max_new_tokens=10)
print(processor.batch_decode(ids, skip_special_tokens=True))
set_seed(3)
again = model.generate(**inputs, do_sample=True, num_beams=3, temperature=1.5, max_new_tokens=10)
print(torch.equal(ids, again))
