"""What a model consists of."""

import torch
from transformers import AutoConfig, AutoModelForImageTextToText

model = AutoModelForImageTextToText.from_pretrained("Ovis2-tiny", dtype=torch.float32, device_map=None)
print(
    f"{model.num_parameters():,}",
    model.num_parameters(exclude_embeddings=True),
    model.dtype,
    model.device,
    model.training,
)
print(sum(p.numel() for p in model.parameters()))
state = model.state_dict()
print(len(state), state["lm_head.weight"].shape, state["model.vision_tower.head_norm.bias"].dtype)
for name, parameter in sorted(model.named_parameters())[:4]:
    print(name, tuple(parameter.shape), parameter.dtype, f"{parameter.float().std().item():.4f}")
embedding = model.get_input_embeddings()
print(embedding.weight.shape, embedding(torch.tensor([[5, 6]])).shape)
model = model.to(torch.bfloat16)
print(model.dtype, next(model.parameters()).dtype)
config = AutoConfig.from_pretrained("Ovis2-tiny")
print(config.model_type, config.text_config.num_hidden_layers, config.vision_config.patch_size, config.hidden_size)
print(model.config.image_token_id, model.config.visual_indicator_token_ids, model.can_generate())
