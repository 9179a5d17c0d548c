"""Evidence about calorimeter showers, which are [n, cells] in MeV and their incident energies.

observables   what physicists look at in a shower
conditional   how numbers scatter about a mean that moves with the incident energy
features      ShowerFeatures: what verdicts about showers rest on

Whatever is said of showers stands beside what is said of true ones in their place.
"""

from __future__ import annotations
