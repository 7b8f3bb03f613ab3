"""RustRay as it comes."""

from systems.ray_api import RayApi


def make() -> RayApi:
    return RayApi("rustray")
