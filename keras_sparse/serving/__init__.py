"""Models for serving: SavedModel, LiteRT and ONNX files of stock operations; see `export`."""

from .export import Exported, export

__all__ = ["Exported", "export"]
