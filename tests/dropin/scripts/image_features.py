"""Pictures as vectors: the similarity of their visual embeddings."""

import torch
import torch.nn.functional as F
from PIL import Image
from transformers import AutoProcessor, Ovis2ForConditionalGeneration

model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny").eval()
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
names = ["single_tile.png", "two_tiles.png", "three_shapes.png"]
images = [Image.open(name) for name in names]
pixel_values = processor.image_processor(images, max_patches=1, return_tensors="pt")["pixel_values"]
with torch.no_grad():
    features = model.get_image_features(pixel_values=pixel_values)
embeddings = F.normalize(features.pooler_output.mean(dim=1), dim=-1)
print(features.pooler_output.shape, features.visual_indicator_features.shape)
similarity = embeddings @ embeddings.T
for name, row in zip(names, similarity):
    print(name, [round(x, 3) for x in row.tolist()])
