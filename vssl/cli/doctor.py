"""`vssl doctor`: what is here, what is missing, how to get it."""

from vssl.cli.arguments import Arguments
from vssl.cli.command import Command


def run(arguments: Arguments) -> int:
    from vssl.cli.diagnosis import MARKS, diagnose

    findings = diagnose()
    width = max(len(finding.name) for finding in findings)
    section = ""
    for finding in findings:
        if finding.section != section:
            section = finding.section
            print(f"{section}:")
        print(f"  {MARKS[finding.verdict]:<8} {finding.name:<{width}}  {finding.found}")
        if finding.advice:
            print(f"  {'':<8} {'':<{width}}  {finding.advice}")
    missing = [finding.name for finding in findings if finding.verdict == "missing"]
    print(f"\nneeded and missing: {', '.join(missing)}" if missing else "\nEverything that vssl needs is here.")
    return 1 if missing else 0


COMMAND = Command(
    name="doctor",
    summary="versions, decoders, threads, GPU, what is missing and how to get it",
    description=(
        "Looks at this installation and this machine: versions of the libraries, decoders, cores and threads, the GPU, "
        "FFmpeg's H.264 encoder and decoder, the cache folder and its free space. Exit code 1 if something needed is "
        "missing; what is optional is only named."
    ),
    examples=("vssl doctor", "VSSL_CACHE=/data/cache vssl doctor", "vssl doctor && vssl bench quick"),
    run=run,
    configured=False,
)
