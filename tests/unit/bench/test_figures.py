"""Percentiles, medians, paired ratios, and the warnings drawn from them."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.bench import chart, cli, peers, report, workloads
from conformance.bench.figures import Round, paired_ratio, percentile, summarise
from conformance.bench.runner import Plan

ROUND = Round(
    operations=100,
    operations_per_second=100.0,
    payload_bytes_per_second=1e6,
    p50_ms=1.0,
    p99_ms=2.0,
    server_cpu_us=50.0,
    database_cpu_us=None,
    client_cpu_us=10.0,
    client_cpu_share=0.1,
    peak_memory_bytes=None,
    errors={},
)


def rounds(*rates: float) -> list[Round]:
    return [replace(ROUND, operations_per_second=rate) for rate in rates]


@pytest.mark.parametrize(("fraction", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_percentile_is_nearest_rank(fraction: float, expected: int) -> None:
    assert percentile(range(1, 101), fraction) == expected


def test_percentile_of_one_and_of_none() -> None:
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([], 0.5) == 0.0


def test_summary_takes_medians_and_the_highest_memory() -> None:
    measured = rounds(100, 300, 110)
    measured[1] = replace(measured[1], peak_memory_bytes=5.0, errors={"status 503": 2})
    summary = summarise(measured)
    assert summary.operations_per_second == 110
    assert summary.spread == pytest.approx(200 / 110)
    assert (summary.peak_memory_bytes, summary.errors) == (5.0, 2)
    assert (summary.server_cpu_us, summary.database_cpu_us) == (50.0, None)


def test_paired_ratio_ignores_noise_that_both_saw() -> None:
    # the machine was three times slower in the second round, for both
    assert paired_ratio(rounds(200, 66, 200), rounds(100, 33, 100)) == pytest.approx(2.0)


def test_paired_ratio_of_a_server_that_answered_nothing_is_unknown() -> None:
    assert paired_ratio(rounds(100), rounds(0)) is None


def test_warnings_name_a_busy_client_a_low_ceiling_noise_and_errors() -> None:
    slow = [replace(one, client_cpu_share=0.9, errors={"status 500": 1}) for one in rounds(100, 100, 200)]
    found = "\n".join(report.warnings({"get-1k": {"rowlock": slow, "null": rounds(250, 250, 250)}}))
    assert "rowlock: 3 requests failed" in found
    assert "90% of a core" in found
    assert "2.5 times faster" in found
    assert "differ by 100%" in found
    assert "at null" not in found


def test_quiet_measurement_has_no_warnings() -> None:
    assert report.warnings({"get-1k": {"rowlock": rounds(100, 101), "null": rounds(1000, 1000)}}) == []


def test_table_gives_ratios_to_the_first() -> None:
    table = report.tables({"get-1k": {"a": rounds(200, 200), "b": rounds(100, 100)}})
    assert "| a / this |" in table
    assert "| 2.00 |" in table.splitlines()[-1]


def test_chart_is_well_formed_and_leaves_the_null_server_out() -> None:
    svg = chart.draw({"get <1k>": {"a&b": rounds(200), "null": rounds(999), "c": rounds(50)}}, 'Requests "a" second')
    root = ElementTree.fromstring(svg)  # noqa: S314 - our own text
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "get <1k>" in texts
    assert "a&b" in texts
    assert "200/s" in texts
    assert "999/s" not in texts


def test_earlier_result_is_told_again_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measured = {"get-1k": {"a": rounds(200, 220), "b": rounds(100)[:1] * 2}}
    plan = Plan(rounds=2, seconds=1, connections=None, processes=1, sign_payload=True, bulk_load=True)
    result, drawn = tmp_path / "r.json", tmp_path / "chart.svg"
    result.write_text(json.dumps(report.as_json(plan, measured, {})))
    assert cli.main(["--from", str(result), "--chart", str(drawn)]) == 0
    assert report.tables(measured) in capsys.readouterr().out
    assert drawn.read_text() == chart.draw(measured, "Requests per second")


@pytest.mark.parametrize("text", ["", "{}", '{"workloads": {"get-1k": {"a": {"rounds": [{"x": 1}]}}}}'])
def test_file_that_is_no_result(tmp_path: Path, text: str) -> None:
    result = tmp_path / "r.json"
    result.write_text(text)
    assert cli.main(["--from", str(result)]) == 1


def test_peer_that_cannot_be_installed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "INSTALL_DIRECTORY", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["--peers", "versitygw", "--scratch", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "without versitygw: versitygw needs Go" in told
    assert "name servers" in told


def test_workloads_are_selected_by_set_and_pattern() -> None:
    assert [one.name for one in workloads.select("quick", "put-*")] == ["put-1k", "put-1m"]
    assert [one.name for one in workloads.select("list*-1e7")] == ["list-1e7", "list-delimiter-1e7"]
    assert not any(one.keys > 10**6 for one in workloads.select("all"))


def test_unknown_workload_is_refused() -> None:
    with pytest.raises(ValueError, match="no workload matches"):
        workloads.select("quack")
