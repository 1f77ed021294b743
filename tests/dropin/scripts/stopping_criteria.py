"""Stopping at a word."""

import torch
from PIL import Image
from transformers import AutoProcessor, Ovis2ForConditionalGeneration, StoppingCriteria, StoppingCriteriaList


class StopOnTokens(StoppingCriteria):
    def __init__(self, stop_ids):
        self.stop_ids = stop_ids

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs) -> torch.BoolTensor:
        return torch.isin(input_ids[:, -1], torch.tensor(self.stop_ids, device=input_ids.device))


model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny")
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe the image."}]}]
prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
inputs = processor(images=Image.open("nine_tiles.png"), text=prompt, return_tensors="pt")
comma = processor.tokenizer.convert_tokens_to_ids(",")
stop = StoppingCriteriaList([StopOnTokens([comma])])
out = model.generate(**inputs, max_new_tokens=30, stopping_criteria=stop)
print(repr(processor.decode(out[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)))
out = model.generate(**inputs, max_new_tokens=30, stopping_criteria=stop, num_beams=2)
print(repr(processor.decode(out[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)))
