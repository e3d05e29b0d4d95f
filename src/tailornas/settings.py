"""What every group of settings is: frozen, without unknown keys, and without NaN and infinities."""

from pydantic import BaseModel, ConfigDict

__all__ = ["SettingsModel"]


class SettingsModel(BaseModel):
    """Base of everything that can be told: sections of a configuration, and settings of a loss."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
