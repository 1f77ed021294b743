"""An evaluation by the likelihood of each answer, in half precision."""

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

device = "cuda:0" if torch.cuda.is_available() else "cpu"
model = AutoModelForImageTextToText.from_pretrained("Ovis2-tiny", dtype="bfloat16").to(device).eval()
model.requires_grad_(False)
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
tokenizer = processor.tokenizer


@torch.inference_mode()
def choose(image, question, options):
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
    inputs = processor(images=image, text=prompt, return_tensors="pt").to(device, model.dtype)
    logits = model(**inputs).logits[0, -1].float().log_softmax(-1)
    first = [tokenizer(option, add_special_tokens=False)["input_ids"][0] for option in options]
    return options[int(torch.stack([logits[i] for i in first]).argmax())]


correct = 0
for name, question, options, right in [
    ("two_tiles.png", "How many shapes are there?", ["One", "Two", "Three"], "Two"),
    ("single_tile.png", "How many shapes are there?", ["One", "Two", "Three"], "Three"),
    ("three_shapes.png", "Is there a red circle?", ["Yes", "No"], "Yes"),
    ("two_tiles.png", "Is there a blue square?", ["Yes", "No"], "No"),
]:
    answer = choose(Image.open(name), question, options)
    correct += answer == right
    print(name, question, answer)
print(f"accuracy {correct / 4:.2f}")
