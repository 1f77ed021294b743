"""Hidden states and attentions."""

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained("Ovis2-tiny", attn_implementation="eager").eval()
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
prompt = processor.apply_chat_template(
    [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe the image."}]}],
    add_generation_prompt=True,
)
inputs = processor(images=Image.open("two_tiles.png"), text=prompt, return_tensors="pt")
with torch.no_grad():
    outputs = model(**inputs, output_hidden_states=True, output_attentions=True)
print(len(outputs.hidden_states), outputs.hidden_states[-1].shape)
print(len(outputs.attentions), outputs.attentions[0].shape)
attention = outputs.attentions[-1].mean(dim=1)[0, -1]
print(torch.isclose(attention.sum(), torch.tensor(1.0)).item(), attention.topk(3).indices.tolist())
pooled = outputs.hidden_states[-1].mean(dim=1)
print([round(x, 3) for x in pooled[0, :4].tolist()])

steps = model.generate(
    **inputs, max_new_tokens=3, return_dict_in_generate=True, output_hidden_states=True, output_attentions=True
)
print([tuple(step[-1].shape) for step in steps.hidden_states], [tuple(step[0].shape) for step in steps.attentions])
