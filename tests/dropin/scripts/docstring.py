"""The example in the docstring of Ovis2ForConditionalGeneration.forward."""

from PIL import Image
from transformers import AutoProcessor, Ovis2ForConditionalGeneration

model = Ovis2ForConditionalGeneration.from_pretrained("thisisiron/Ovis2-2B-hf")
processor = AutoProcessor.from_pretrained("thisisiron/Ovis2-2B-hf")

prompt = "<|im_start|>user\n<image>\nDescribe the image.<|im_end|>\n<|im_start|>assistant\n"
image = Image.open("three_shapes.png")

inputs = processor(images=image, text=prompt, return_tensors="pt")

# Generate
generate_ids = model.generate(**inputs, max_new_tokens=15)
print(processor.batch_decode(generate_ids, skip_special_tokens=True)[0])
