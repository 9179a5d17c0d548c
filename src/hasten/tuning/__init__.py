"""Tune: finds the fastest way to sample within a quality budget, and proves it.

settings    what was asked for           bench       tries candidates on the teacher's noise
folder      the run folder               search      proposes plans, keeps the front
journal     what is finished             stock       the honest rival
seeds       who begins with which noise  judging     features and real data behind verdicts
teacher     trajectories to follow       hunt        from cheap errors to finalists
play, fit   plans with open coefficients study       all of it in order
refine      noise levels by least squares results    finalists, timing, files
speeds      what a row costs             stages      sessions of the judge
space       candidates                   outcome     result.json
"""
