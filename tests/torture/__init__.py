"""Whatever dies, nothing is lost: `scripts/torture` kills its way through churn and compares with a shadow.

world     what should run: pods and their manifests, pure
churn     a seed's plan: edits and kills, pure
kernel    what runs, as the kernel says it
checks    where the two differ, and what was not kept
kills     a plan's kills, done
execs     who runs a program, told by the kernel
lab       an instance, a registry, controllers one after the other
run       a plan carried out, failures told
"""
