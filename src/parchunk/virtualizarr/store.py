"""The ManifestStore of a region; a module apart, as its base class is VirtualiZarr's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from virtualizarr.manifests import ManifestGroup, ManifestStore

if TYPE_CHECKING:
    import xarray


def make_store(
    arrays: Mapping[str, Any],
    uneven: Mapping[str, Any],
    attributes: Mapping[str, Any],
    registry: Any,
    dimension: str | None,
    extent: slice | None,
) -> ManifestStore:
    """Return a store of ``arrays``; of the ``uneven`` ones it loads the ``extent``."""
    group = ManifestGroup(arrays=dict(arrays), attributes=dict(attributes))
    if not uneven or dimension is None or extent is None:
        return ManifestStore(group=group, registry=registry)
    whole = ManifestStore(group=ManifestGroup(arrays=dict(uneven)), registry=registry)
    return _RegionStore(group, registry, whole, dimension, extent)


class _RegionStore(ManifestStore):  # type: ignore[misc]
    """A ManifestStore with arrays beside it whose chunks no region is made of."""

    def __init__(
        self,
        group: ManifestGroup,
        registry: Any,
        whole: ManifestStore,
        dimension: str,
        extent: slice,
    ) -> None:
        super().__init__(group=group, registry=registry)
        self._whole = whole
        self._dimension = dimension
        self._extent = extent

    def to_virtual_dataset(self, *args: Any, **kwargs: Any) -> xarray.Dataset:
        """Return the virtual dataset, with the region's part of the other arrays loaded."""
        import xarray

        virtual = super().to_virtual_dataset(*args, **kwargs)
        with xarray.open_zarr(
            self._whole,
            consolidated=False,
            zarr_format=3,
            chunks=None,
            decode_times=kwargs.get("decode_times"),
        ) as opened:
            cut = opened.isel({self._dimension: self._extent}).load()
        made: xarray.Dataset = virtual.assign(cut.data_vars).assign_coords(cut.coords)
        return made
