from tests import factories
from tests.portal.api.api_support import FIRST

def test_show(world, ana):
    with world.write() as s: factories.ready_version(s, world)
    r=ana.get(FIRST); print(r.status_code, r.text, r.headers)
    assert r.status_code==200
    assert ana.get(FIRST, headers={"If-None-Match": r.headers["ETag"]}).status_code==304
