"""Which tokens of the picture an answer looks at."""

import torch
from PIL import Image
from transformers import AutoProcessor, Ovis2ForConditionalGeneration

model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny", attn_implementation="eager").eval()
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
prompt = processor.apply_chat_template(
    [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What colour is the circle?"}]}],
    add_generation_prompt=True,
)
inputs = processor(images=Image.open("single_tile.png"), text=prompt, return_tensors="pt")
out = model.generate(**inputs, max_new_tokens=4, return_dict_in_generate=True, output_attentions=True)
atoms = (inputs.input_ids[0] == model.config.image_token_id).nonzero().flatten()
side = int(len(atoms) ** 0.5)
for step, layers in enumerate(out.attentions):
    weights = torch.stack([layer[0, :, -1] for layer in layers]).mean(dim=(0, 1))[atoms]
    place = weights.argmax().item()
    print(step, divmod(place, side), round(weights.sum().item(), 3))
