"""Plans whose views were shrunk to budgets, for tests of what comes after them."""

from dataclasses import replace

from operators.slicing.regions import shrunk


def shrunk_plan(plan, budgets, config):
    """The plan with each of its views within its budget, and a layout that says so."""
    views = tuple(shrunk(view, budget, config) for view, budget in zip(plan.views, budgets, strict=True))
    layout = tuple(run if run.view < 0 else replace(run, count=views[run.view].tokens) for run in plan.layout)
    return replace(plan, views=views, layout=layout)
