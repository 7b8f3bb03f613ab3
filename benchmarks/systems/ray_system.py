"""Ray without its dashboard, which would only cost it start-up time and memory."""

from systems.ray_api import RayApi


def make() -> RayApi:
    return RayApi("ray", include_dashboard=False)
