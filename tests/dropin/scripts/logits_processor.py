"""A logits processor of one's own, with torch inside."""

import torch
from PIL import Image
from transformers import AutoProcessor, LogitsProcessor, LogitsProcessorList, Ovis2ForConditionalGeneration


class Forbid(LogitsProcessor):
    def __init__(self, ids):
        self.ids = torch.tensor(ids)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        scores = scores.clone()
        scores[:, self.ids] = torch.finfo(scores.dtype).min
        return scores


model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny")
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe the image."}]}]
prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
inputs = processor(images=Image.open("single_tile.png"), text=prompt, return_tensors="pt")
for words in ([], [" blue"], [" blue", " purple"]):
    ids = sum((processor.tokenizer(word, add_special_tokens=False).input_ids for word in words), [])
    processors = LogitsProcessorList([Forbid(ids)] if ids else [])
    out = model.generate(**inputs, max_new_tokens=20, logits_processor=processors)
    print(processor.decode(out[0, inputs.input_ids.shape[1] :], skip_special_tokens=True))
