"""One test for each case in cases/*.yaml. Cases with the same configuration share one Envoy."""

import pytest
from conftest import Stacks

from harness import cases, project

# By configuration, so that cases of different files share an Envoy too.
CASES = sorted(cases.load(project.E2E / "cases"), key=lambda case: case.config)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case(stacks: Stacks, case: cases.Case) -> None:
    problems = cases.run(case, stacks(case.config))
    assert not problems, "\n".join([case.description, *problems])
