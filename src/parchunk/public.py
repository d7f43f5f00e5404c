"""What `parchunk` has for its users, imported when they first ask for any of it."""

from __future__ import annotations

from parchunk.auditing import AuditReport as AuditReport
from parchunk.auditing import Finding as Finding
from parchunk.auditing import audit as audit
from parchunk.building.build import build as build
from parchunk.building.protocol import publish as publish
from parchunk.building.protocol import run_task as run_task
from parchunk.building.protocol import tasks as tasks
from parchunk.building.relocating import Relocation as Relocation
from parchunk.building.relocating import relocate as relocate
from parchunk.building.results import (
    BuildResult as BuildResult,
)
from parchunk.building.results import (
    Progress as Progress,
)
from parchunk.building.results import (
    TaskResult as TaskResult,
)
from parchunk.building.tasks import Task as Task
from parchunk.building.update import update as update
from parchunk.errors import (
    HeldError as HeldError,
)
from parchunk.errors import (
    InputError as InputError,
)
from parchunk.errors import (
    ListingError as ListingError,
)
from parchunk.errors import (
    MetadataError as MetadataError,
)
from parchunk.errors import (
    MissingExtraError as MissingExtraError,
)
from parchunk.errors import (
    OutputError as OutputError,
)
from parchunk.errors import (
    ParchunkError as ParchunkError,
)
from parchunk.errors import (
    SourceChangedError as SourceChangedError,
)
from parchunk.errors import (
    SourceError as SourceError,
)
from parchunk.errors import (
    UnsupportedError as UnsupportedError,
)
from parchunk.icechunk_import import (
    ImportResult as ImportResult,
)
from parchunk.icechunk_import import (
    open_icechunk as open_icechunk,
)
from parchunk.icechunk_import import (
    to_icechunk as to_icechunk,
)
from parchunk.notebooks import register
from parchunk.planning.from_source import plan as plan
from parchunk.planning.plan import Plan as Plan
from parchunk.reading.dataset import open_dataset as open_dataset
from parchunk.reading.sql import connect as connect
from parchunk.reading.status import Status as Status
from parchunk.reading.status import status as status
from parchunk.stores.source import Source as Source

register()
