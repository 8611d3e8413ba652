from .channels import Channel, match_channels
from .opening import Recording, open_recording

__all__ = ["Channel", "Recording", "match_channels", "open_recording"]
