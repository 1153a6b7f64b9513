"""A Rowlock for Supabase's own clients: its keys, two users, a bucket with a policy, and one that all may see."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conformance.rest import tokens
from conformance.server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, RunningServer, shared_server

SHARED: Final = "shared"
VISIBLE: Final = "visible"
FUZZED: Final = "fuzzed"
_POLICIES: Final = """
INSERT INTO storage.buckets (id, name) VALUES ('shared', 'shared'), ('visible', 'visible'), ('fuzzed', 'fuzzed');
CREATE POLICY "users see the shared bucket" ON storage.buckets FOR SELECT TO authenticated USING (id = 'shared');
CREATE POLICY "all see one bucket" ON storage.buckets FOR SELECT TO anon USING (id = 'visible');
CREATE POLICY "a folder is its user's" ON storage.objects TO authenticated
    USING (bucket_id = 'shared' AND (storage.foldername(name))[1] = (SELECT auth.uid())::text)
    WITH CHECK (bucket_id = 'shared' AND (storage.foldername(name))[1] = (SELECT auth.uid())::text);
CREATE POLICY "users see what is made up" ON storage.buckets FOR SELECT TO authenticated USING (id = 'fuzzed');
CREATE POLICY "users do anything to it" ON storage.objects TO authenticated USING (bucket_id = 'fuzzed');
CREATE POLICY "all read it" ON storage.objects FOR SELECT TO anon USING (bucket_id = 'fuzzed');
"""


@dataclass(frozen=True, slots=True)
class Supabase:
    """The server and the keys of a project."""

    server: RunningServer
    anon_key: str
    service_key: str

    @property
    def url(self) -> str:
        """What ``createClient`` is given."""
        return self.server.target.endpoint_url

    def target(self) -> Mapping[str, object]:
        """What the programs of ``programs/supabase`` are told."""
        return {
            "url": self.url,
            "s3Url": self.url,
            "anonKey": self.anon_key,
            "serviceKey": self.service_key,
            "aliceToken": tokens.user(tokens.ALICE),
            "bobToken": tokens.user(tokens.BOB),
            "aliceId": tokens.ALICE,
            "bobId": tokens.BOB,
            "sharedBucket": SHARED,
            "visibleBucket": VISIBLE,
            "s3Credentials": {"accessKeyId": ACCESS_KEY_ID, "secretAccessKey": SECRET_ACCESS_KEY},
        }


@contextmanager
def supabase(run_directory: Path) -> Iterator[Supabase]:
    """The project, started for the run."""
    anon_key = tokens.mint({"role": "anon"})
    settings = {"ROWLOCK_JWT_SECRET": tokens.SECRET, "ROWLOCK_ANON_KEY": anon_key, "ROWLOCK_MAX_PUT_BYTES": "20000000"}
    with shared_server(run_directory, "supabase", settings=settings) as running:
        running.run_sql(_POLICIES)
        yield Supabase(running, anon_key, tokens.mint({"role": "service_role"}))
