"""A DataLoader with a collate function."""

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from transformers import AutoProcessor, Ovis2ForConditionalGeneration


class Questions(Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        name, question = self.rows[index]
        return {"image": Image.open(name).convert("RGB"), "question": question}


processor = AutoProcessor.from_pretrained("Ovis2-tiny")
model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny").eval()


def collate(rows):
    texts = [
        processor.apply_chat_template(
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": row["question"]}]}],
            add_generation_prompt=True,
        )
        for row in rows
    ]
    images = [[row["image"]] for row in rows]
    return processor(text=texts, images=images, padding=True, padding_side="left", return_tensors="pt")


names = ("single_tile.png", "two_tiles.png", "three_shapes.png", "nine_tiles.png")
dataset = Questions([(name, q) for name in names for q in ("Describe the image.", "How many shapes are there?")])
answers = []
for batch in DataLoader(dataset, batch_size=3, shuffle=False, collate_fn=collate):
    batch = {key: value.to(model.device) for key, value in batch.items()}
    with torch.no_grad():
        out = model.generate(**batch, max_new_tokens=24, do_sample=False)
    answers += processor.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
for (name, question), answer in zip(dataset.rows, answers):
    print(name, question, answer, sep=" | ")
