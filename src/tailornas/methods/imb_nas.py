"""IMB-NAS (2210.00136; re-run in 2406.16972): search on a long-tailed target with a supernet of a balanced source."""

from tailornas.methods.candidates import first_candidate
from tailornas.methods.contenders import baseline_network, check_training, found_network, specimens
from tailornas.methods.context import Context
from tailornas.methods.final import evaluate, measure_latency, plan_training, retrain_head, train
from tailornas.methods.supernet import adapt, check_stages, plan_search, search, source_supernet
from tailornas.stages import Artifact

__all__ = ["imb_nas"]


def imb_nas(context: Context) -> Artifact:
    """Trains a supernet on the source, adapts it to the target, searches with it and trains the winner.

    Args:
        context: the run, the data, the space and the settings of every stage.

    Returns:
        The test metrics of the found network (``train``) and of the baseline (``baseline``).

    Raises:
        LimitError: no architecture meets the limits.
        ConfigError: the time limit is too short for one epoch of each stage.
        DivergenceError: a training diverged.
    """
    space = context.new_space(context.target.train)
    check_stages(context, space)
    check_training(context.fitting, *specimens(context, space))
    first = first_candidate(context, space)
    plan = plan_search(context)

    # The supernet learns from balanced data, once; the target takes over its backbone, not its head.
    supernet = source_supernet(context, plan, space)
    # The backbone stays as it is; a head for the target is trained on it with a re-weighted loss.
    supernet = adapt(context, plan, supernet)
    # Candidates inherit these weights; the selection split tells them apart.
    winner = search(context, plan, supernet, first)
    # The winner is trained on the target, and so is a ResNet of the cost that was allowed.
    found = found_network(context, winner, supernet)
    baseline = baseline_network(context.fitting, winner)
    training = plan_training(context.fitting, found, baseline)
    trained = [train(context.fitting, training, contender) for contender in (found, baseline)]
    contenders = [retrain_head(context.fitting, contender) for contender in trained]
    measure_latency(context.fitting, *contenders)
    # Only now is the test split looked at.
    return evaluate(context.fitting, *contenders)
