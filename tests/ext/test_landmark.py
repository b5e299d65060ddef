"""The decay kernel gives the same bits on every machine: without vectors, with AVX2, with AVX-512."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import tidal._ext

PROGRAM = r"""
#include "landmark.h"
#include <stdio.h>

int main(void) {
    enum { N = 4096 };
    static float weight[N];
    static int64_t t[N];
    static double terms[N];
    static const int64_t half_lives[] = {
        1000000, 999999937, 3600000000000, 604800000000000, 77777777777777777};
    uint64_t random = 88172645463325252u, digest = 14695981039346656037u;
    for (int h = 0; h < 5; h++) {
        tidal_decay d = tidal_decay_of(half_lives[h]);
        int64_t landmark = tidal_landmark(&d, 1700000000000000000);
        int64_t span = d.cell ? d.cell : 1000000000000000000;
        for (int i = 0; i < N; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            t[i] = landmark + (int64_t)(random % (uint64_t)span);
            weight[i] = (float)(random >> 40) / 1024;
        }
        tidal_add_terms(&d, weight, t, N, landmark, landmark, landmark + span - 1, terms);
        for (int i = 0; i < N; i++) {
            uint64_t bits;
            memcpy(&bits, &terms[i], sizeof bits);
            digest = (digest ^ bits) * 1099511628211u;
            double one = tidal_add_term(&d, weight[i], t[i], landmark);
            if (memcmp(&one, &terms[i], sizeof one)) return 1;
        }
        /* Events close together take a shorter way to the same bits. */
        for (int i = 0; i < N; i++) t[i] = t[0] + (int64_t)(random % 1000) + i;
        tidal_add_terms(&d, weight, t, N, landmark, t[0], t[0] + 1000 + N, terms);
        for (int i = 1; i < N; i++) {
            double one = tidal_add_term(&d, weight[i], t[i], landmark);
            if (memcmp(&one, &terms[i], sizeof one)) return 2;
        }
    }
    printf("%016llx\n", (unsigned long long)digest);
    return 0;
}
"""
WIDTHS = {
    "portable": ([], ""),
    "avx2": (["-mavx2"], "avx2"),
    "avx512": (["-mavx512f", "-mavx512dq"], "avx512dq"),
}
DIGEST = "7fe3dee6029ab441"


@pytest.mark.parametrize("width", WIDTHS)
def test_every_vector_width_gives_the_same_bits(tmp_path: Path, width: str) -> None:
    flags, needed = WIDTHS[width]
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) is on the path: the widths cannot be built one by one")
    cpu = Path("/proc/cpuinfo")
    if needed and (not cpu.exists() or needed not in cpu.read_text()):
        pytest.skip(f"this processor has no {needed}")
    source, program = tmp_path / "kernel.c", tmp_path / "kernel"
    source.write_text(PROGRAM)
    subprocess.run(
        [
            compiler, "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", *flags,
            f"-I{Path(tidal._ext.__path__[0])}", str(source), "-o", str(program), "-lm",
        ],
        check=True,
    )  # fmt: skip
    assert subprocess.run([program], check=True, capture_output=True, text=True).stdout.strip() == DIGEST
