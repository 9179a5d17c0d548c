"""Evidence about calorimeter showers, which are [n, cells] in MeV and their incident energies.

    observables   what physicists look at in a shower
    conditional   how numbers scatter about a mean that moves with the incident energy
    features      ShowerFeatures: what verdicts about showers rest on
    separation    separation power of histograms, and what chance makes of it
    fpd           the two distances that papers quote
    auc           ranking by cross-validation, and its interval
    neighbours    which cells lie next to each other
    classifier    two fixed classifiers
    slices        response and resolution by incident energy
    summary       measure_physics: all of it, for judged showers and for true ones in their place

Whatever is said of showers stands beside what is said of true ones.
"""

from __future__ import annotations
