import pytest

from tests.unit.measure.fake_server import FakeServer


@pytest.fixture
async def server():
    fake = FakeServer()
    await fake.start()
    yield fake
    await fake.stop()
