"""Train: choose the settings, start, and watch the model learn."""

import time
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitAPIException

from core import charts
from core.base.errors import UserError
from core.base.formatting import (
    SETTINGS,
    STATUS,
    count,
    duration,
    escape_markdown,
    explain,
    percent,
    run_link,
    shorten,
    size,
)
from core.data.storage.datasets import Dataset, list_datasets
from core.learning import config as settings
from core.learning import pretrained
from core.learning.config import CHOICES, TUTORIAL, TrainingConfig
from core.learning.forecasting.estimate import PARTS, Forecast
from core.learning.pretrained import Checkpoint
from core.learning.suggestions import SUGGESTED, suggest
from core.runs.results.facts import model_title
from core.runs.tasks import forecasts, studies
from core.runs.tasks.forecasts import Outlook
from core.runs.training import engines, following, queue, store
from core.runs.training.events import Event
from core.runs.training.store import Run, RunState

DATA_PAGE, RUNS_PAGE, PREDICT_PAGE = "pages/1_Data.py", "pages/3_Runs.py", "pages/4_Predict.py"
CHECK_PAGE = "pages/5_Check.py"
LOOK_EVERY_SECONDS = 1.0
LINE_EVERY_SECONDS = 3.0
STILL_SECONDS = 2.0
DEFAULTS = TrainingConfig()

BASIC = ("epochs", "batch_size", "learning_rate")
ADVANCED = (
    "max_length",
    "warmup",
    "weight_decay",
    "gradient_clipping",
    "seed",
    "early_stopping",
    "evaluations_per_epoch",
)
STEP = {
    "learning_rate": 1e-5,
    "max_length": 8,
    "warmup": 0.05,
    "weight_decay": 0.01,
    "gradient_clipping": 0.5,
}
HELP = {
    "epochs": "How often the model sees every training text.",
    "batch_size": "Texts per step. More is faster and needs more memory.",
    "learning_rate": (
        "The size of each step. Too large and the loss jumps; too small and little is learned. "
        "Usual values are 1e-5 to 2e-4."
    ),
    "max_length": "Longer texts are cut. A token is a short word or a part of a long one.",
    "warmup": "In this first share of all steps the learning rate rises from zero. 0.1 is a tenth.",
    "weight_decay": "Pulls the weights towards zero, which works against learning by heart.",
    "schedule": "How the learning rate goes on after the warm-up: falls to zero (linear, cosine) or stays.",
    "gradient_clipping": "Cuts steps that are too large. 0 switches it off.",
    "seed": "Same seed, data and settings on the same machine: same result.",
    "precision": "Number format of the calculation. auto takes the fastest that this machine is built for.",
    "class_weights": "A text of a rare class counts more, so that small classes are not passed over.",
    "early_stopping": "Ends after this many evaluations without a better macro F1. 0 switches it off.",
    "evaluations_per_epoch": "How often per epoch the validation texts are scored.",
}


def main() -> None:
    run, problem = chosen_run()
    datasets = list_datasets()
    # On a telephone the settings are the first thing to see, and afterwards the run.
    sidebar = "expanded" if datasets and not run else "auto"
    viewing = only_viewing()
    st.set_page_config(page_title="Train – Textuner", layout="wide", initial_sidebar_state=sidebar)
    queue.ensure_worker()
    if datasets and not viewing:
        with st.sidebar:
            choose_and_start(datasets, run)
    st.title("Train")
    if problem:
        st.error(explain(problem), icon=":material/error:")
    if run:
        show_run(run)
    elif datasets:
        teach()
    else:
        send_to_data()
    if not viewing:
        show_line(run)


def only_viewing() -> bool:
    """Whether the link is one to look with: then nothing on the page starts, stops or deletes anything."""
    return st.query_params.get("view") == "only"


def chosen_run() -> tuple[Run | None, UserError | None]:
    """The run of the link; without a link the one at work, which then stays: its end is to be seen."""
    if "run" not in st.query_params:
        live = [run for run in store.list_runs() if store.state(run).live]
        if not live:
            return None, None
        shown = next((run for run in live if store.is_alive(run)), live[-1])
        st.query_params["run"] = shown.id
        return shown, None
    try:
        return store.find_run(st.query_params["run"]), None
    except UserError as error:
        return None, error


# The settings


def choose_and_start(datasets: list[Dataset], run: Run | None) -> None:
    take_settings_of_link()
    dataset = choose_dataset(datasets, run)
    model = choose_model()
    suggested = suggest(model, dataset.counts["train"], len(dataset.label2id))
    suggested = replace(suggested, class_weights=has_rare_classes(dataset))
    follow(suggested)
    values = ask_numbers(BASIC)
    say_suggested(suggested, values, dataset)
    start_place = st.container()
    with st.expander("Advanced"):
        values |= ask_advanced()
    with st.container(horizontal=True):
        st.button(
            "As in the tutorial", type="tertiary", on_click=fill_in, args=(TUTORIAL,), help=TUTORIAL_HELP
        )
        st.button("Suggested", type="tertiary", on_click=fill_in, args=(suggested,))
    with start_place:
        config = TrainingConfig(model=model, **values)
        if offer_start(dataset, config, run):
            foresee(dataset, config)
        show_device()
        show_to_beat(dataset)
        if suggested.class_weights and values["class_weights"]:
            st.caption(
                f"{SETTINGS['class_weights']}: on, because {sizes_in_words(dataset)}. You can switch it off "
                "under Advanced."
            )


def take_settings_of_link() -> None:
    """Fill in the settings of the run that the link names, once: what a person changes then stays."""
    wanted = st.query_params.get("like")
    if wanted is None:
        return
    try:
        like = store.find_run(wanted)
        if not like.readable:
            raise UserError("a run whose settings can be read", "a damaged one", "Choose them yourself.")
        pretrained.find(like.config.model)
    except UserError as error:
        st.warning(explain(error), icon=":material/error:")
        return
    if st.session_state.get("like") != like.id:
        st.session_state["like"] = like.id
        st.session_state[key("model")] = like.config.model
        fill_in(like.config)
    st.caption(f"Settings taken from a run of {escape_markdown(shorten(like.name, 40))}.")


def has_rare_classes(dataset: Dataset) -> bool:
    """Whether the check of the data found classes so small that weights are worth a try."""
    advice = dataset.source.get("advice")
    return isinstance(advice, dict) and advice.get("class_weights") is True


def sizes_in_words(dataset: Dataset) -> str:
    counts = dataset.class_counts["train"].values()
    return f"the largest class has {max(counts):,} training texts and the smallest {min(counts):,}"


TUTORIAL_HELP = "The classic recipe: AdamW at 2e-5, batches of 2, 5 epochs. For very few texts."


def choose_dataset(datasets: list[Dataset], run: Run | None) -> Dataset:
    by_id = {dataset.id: dataset for dataset in datasets}
    wanted = st.query_params.get("dataset") or (run.dataset_id if run else None)
    chosen = st.selectbox(
        "Data set",
        list(by_id),
        index=list(by_id).index(wanted) if wanted in by_id else 0,
        format_func=lambda id: f"{by_id[id].name} ({sum(by_id[id].counts.values()):,} texts)",
        help="Saved on the Data page; the newest comes first.",
    )
    return by_id[chosen]


def choose_model() -> str:
    models = {checkpoint.name: checkpoint for checkpoint in pretrained.available()}
    remember("model")
    name = st.selectbox(
        "Model",
        list(models),
        format_func=lambda name: models[name].title,
        key=key("model"),
        persist_state="session",
        help="The pre-trained language model to start from.",
    )
    st.caption(escape_markdown(models[name].note))
    return name


def ask_advanced() -> dict[str, Any]:
    values = ask_numbers(ADVANCED)
    for name in ("schedule", "precision"):
        remember(name)
        values[name] = st.selectbox(
            SETTINGS[name], CHOICES[name], key=key(name), help=HELP[name], persist_state="session"
        )
    remember("class_weights")
    values["class_weights"] = st.toggle(
        SETTINGS["class_weights"],
        key=key("class_weights"),
        help=HELP["class_weights"],
        persist_state="session",
    )
    return values


def ask_numbers(names: tuple[str, ...]) -> dict[str, Any]:
    """Number fields without bounds of their own: what is out of range is shown for all of them at once."""
    values = {}
    for name in names:
        remember(name)
        whole = isinstance(getattr(DEFAULTS, name), int)
        values[name] = st.number_input(
            SETTINGS[name],
            step=STEP.get(name, 1 if whole else 0.01),
            format="%d" if whole else "%g",
            key=key(name),
            help=HELP[name],
            persist_state="session",
        )
    return values


def key(name: str) -> str:
    return f"setting_{name}"


def remember(name: str) -> None:
    st.session_state.setdefault(key(name), getattr(DEFAULTS, name))


def fill_in(config: TrainingConfig) -> None:
    for name, value in settings.to_dict(config).items():
        if name != "model":
            st.session_state[key(name)] = value


def follow(suggested: TrainingConfig) -> None:
    """Fill in what suits the data set and the model, where a person left the last suggestion as it was."""
    last = st.session_state.get("suggested", {})
    names = (*SUGGESTED, "class_weights")
    for name in names:
        value = getattr(suggested, name)
        if st.session_state.get(key(name), last.get(name)) == last.get(name):
            st.session_state[key(name)] = value
    st.session_state["suggested"] = {name: getattr(suggested, name) for name in names}


def say_suggested(suggested: TrainingConfig, values: dict[str, Any], dataset: Dataset) -> None:
    words = f"{count(dataset.counts['train'], 'text')} in {count(len(dataset.label2id), 'class', 'classes')}"
    if all(values[name] == getattr(suggested, name) for name in BASIC):
        st.caption(f"Suggested for {words} and this model.")
    else:
        st.caption(
            f"Suggested for {words} and this model: {count(suggested.epochs, 'epoch')}, batches of "
            f"{suggested.batch_size}, learning rate {suggested.learning_rate:g}."
        )


def offer_start(dataset: Dataset, config: TrainingConfig, run: Run | None) -> bool:
    """The button, or what keeps from pressing it. Returns whether a training could start."""
    try:
        settings.check(config)
        pretrained.check_length(config.model, config.max_length)
    except UserError as error:
        st.button("Start", type="primary", icon=":material/play_arrow:", disabled=True, width="stretch")
        st.error(explain(error))
        return False
    if st.button(
        "Start another run" if run else "Start",
        type="secondary" if run else "primary",
        icon=":material/play_arrow:",
        width="stretch",
    ):
        start(dataset, config)
    return True


def start(dataset: Dataset, config: TrainingConfig) -> None:
    try:
        run = queue.submit(config, dataset)
    except UserError as error:
        st.error(explain(error))
        return
    open_run(run)


def open_run(run: Run) -> None:
    st.query_params.from_dict({"run": run.id})
    st.rerun()


def show_to_beat(dataset: Dataset) -> None:
    """What simple classifiers reach on the validation texts, or the way to it where that is not known yet."""
    simple = studies.baseline_of(dataset.id, "validation")
    if simple:
        st.caption(
            f":material/flag: Fine-tuning must beat **{percent(simple['accuracy'])}**, which "
            f"{charts.SIMPLE[simple['name']]} reaches on the validation texts; {charts.MAJORITY}: "
            f"{percent(simple['majority_accuracy'])}."
        )
    elif dataset.counts["validation"] and st.button(
        "What must it beat?",
        type="tertiary",
        icon=":material/flag:",
        help="On the Check page simple classifiers are tried, in seconds. What they reach becomes a line on "
        "the chart.",
    ):
        st.switch_page(CHECK_PAGE, query_params={"dataset": dataset.id})


def foresee(dataset: Dataset, config: TrainingConfig) -> None:
    """What the training would take, by a measuring that begins here if need be; the page does not wait."""
    pending = forecasts.look(dataset, config).pending
    st.fragment(show_forecast, run_every=LOOK_EVERY_SECONDS if pending else None)(dataset, config, pending)
    others = st.expander("Other models", icon=":material/timer:", key="others", on_change="rerun")
    if others.open:
        with others:
            compare_models(dataset, config)


def show_forecast(dataset: Dataset, config: TrainingConfig, was_pending: bool) -> None:
    outlook = forecasts.look(dataset, config)
    if was_pending and not outlook.pending:
        # It is known now: the whole page is drawn once more, and then no longer by itself.
        st.rerun()
    forecasts.begin(dataset, config)
    if outlook.forecast:
        about = "At most" if config.early_stopping else "About"
        st.caption(
            f":material/timer: **{about} {forecasts.in_words(outlook.forecast)}** on this machine"
            f"{why_rough(outlook, config)}.",
            help=parts_in_words(outlook.forecast),
        )
    elif outlook.state == "failed":
        st.caption(f":material/timer: No forecast: {escape_markdown(outlook.problem)}")
    elif outlook.state == "waiting":
        st.caption(":material/timer: The forecast is measured as soon as the training at work has ended.")
    else:
        st.caption(":material/timer: Measuring a few steps for a forecast. You can start all the same.")


def why_rough(outlook: Outlook, config: TrainingConfig) -> str:
    """Why the forecast may be further off than usual, and whether a better one is on its way."""
    if not outlook.at_hand:
        gigabytes = size(4 * pretrained.find(config.model).parameters)
        return f", by estimate, and {gigabytes} to fetch at first"
    if outlook.pending and outlook.forecast.estimated:
        later = "is measured when the training at work has ended"
        return f", by estimate; {later if outlook.state == 'waiting' else 'measuring'}"
    return "" if outlook.forecast.quiet else "; measured while it was busy: alone it is faster"


def parts_in_words(found: Forecast) -> str:
    shown = {name: seconds for name, seconds in found.parts.items() if seconds >= 0.5}
    return "\n".join(f"- {PARTS[name]}: {duration(seconds)}" for name, seconds in shown.items())


def compare_models(dataset: Dataset, config: TrainingConfig) -> None:
    lines = [line for model in pretrained.available() if (line := foreseen_line(dataset, config, model))]
    if not lines:
        st.caption("Known as soon as a few steps are measured.")
        return
    st.caption("\n".join(lines))
    st.caption("Choose a model to have it measured. The time to fetch a model is not included.")


def foreseen_line(dataset: Dataset, config: TrainingConfig, model: Checkpoint) -> str:
    found = forecasts.look(dataset, replace(config, model=model.name)).forecast
    if config.max_length > model.longest or not found:
        return ""
    # A number and its unit stay on one line.
    words = ", ".join(
        text.replace(" ", "\u00a0") for text in (duration(found.seconds), size(found.memory_bytes))
    )
    return f"- {escape_markdown(model.title)}: {words}{' (estimate)' if found.estimated else ''}"


@st.fragment(parallel=True)
def show_device() -> None:
    waiting = st.skeleton(height=40)
    try:
        hardware = engines.describe_hardware()
    except UserError as error:
        waiting.caption(explain(error))
        return
    waiting.caption(
        f":material/memory: Trains on **{escape_markdown(hardware['device'])}** in "
        f"**{escape_markdown(hardware['precision'])}**: {escape_markdown(hardware['reason'])}"
    )


# No run yet


def teach() -> None:
    st.write(
        "Choose a data set on the left and press **Start**; the other settings suit most data as they are."
    )
    with st.container(border=True):
        st.subheader("What happens then")
        st.markdown(
            "- The model reads the training texts batch by batch and corrects itself after each.\n"
            "- Now and then it is scored on the validation texts; the best weights are kept.\n"
            "- At the end it is judged on the test texts, which it has never seen.\n"
            "- It goes on when you close this tab. Come back with the link, or find it under Runs."
        )


def send_to_data() -> None:
    st.write("A training needs a data set: a table of texts and their labels.")
    if st.button("Go to Data", type="primary", icon=":material/table_view:"):
        st.switch_page(DATA_PAGE)


# The run


def show_run(run: Run) -> None:
    show_heading(run)
    live = is_live(run, store.state(run))
    # Redrawn by itself while the run may change; the rest of the page stands still.
    st.fragment(watch, run_every=LOOK_EVERY_SECONDS if live else None)(run.id, live, baselines(run))
    if not run.damage:
        show_log(run)


def show_heading(run: Run) -> None:
    if run.damage:
        return
    st.subheader(escape_markdown(shorten(run.name, 80)), anchor=False)
    words = {
        "model": escape_markdown(model_title(run)),
        "epochs": count(run.config.epochs, "epoch"),
        "batch_size": f"batches of {run.config.batch_size}",
        "learning_rate": f"learning rate {run.config.learning_rate:g}",
    }
    # What an earlier version did not write down may have been another value than today's default.
    st.caption(" · ".join(said for name, said in words.items() if name not in run.unrecorded))


def baselines(run: Run) -> dict[str, float]:
    """What is to be beaten, in words → its accuracy on the validation texts."""
    try:
        counts = store.own_dataset(run).class_counts["validation"].values()
    except (UserError, KeyError):
        return {}
    majority = max(counts) / sum(counts) if sum(counts) else None
    return charts.to_beat(majority, studies.baseline_of(run.dataset_id, "validation"))


def is_live(run: Run, state: RunState) -> bool:
    """Whether it may change by itself: one that was lost is about to go on, or to be called interrupted."""
    return state.live or store.is_lost(run)


def watch(run_id: str, was_live: bool, baselines: dict[str, float]) -> None:
    try:
        run = store.find_run(run_id)
    except UserError as error:
        st.error(explain(error), icon=":material/error:")
        return
    state = store.state(run)
    if was_live and not is_live(run, state):
        # It has just ended: the whole page is drawn once more, and then no longer by itself.
        st.rerun()
    if state.status == "queued" or store.is_lost(run):
        queue.ensure_worker()
    events = following.follow(run)
    show_state(run, state, events)
    show_notes(events)
    show_curves(run, events if state.status != "running" else settled(events), baselines)


def show_state(run: Run, state: RunState, events: list[Event]) -> None:
    status = STATUS[state.status]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(status.words, icon=status.icon, color=status.colour)
        if state.seconds is not None:
            st.caption(f"{duration(state.seconds)} {'so far' if state.live else 'in all'}", width="content")
        if state.live and not only_viewing():
            offer_stop(run, state)
            share(run)
    if state.status == "queued":
        st.info(
            f"Place {queue.position(run) or 1} in line{wait_words(run)}. It starts by itself"
            f"{expected_words(run)}; you can close this tab.",
            icon=":material/hourglass_empty:",
        )
    elif state.live:
        show_progress(state, events)
    elif state.status == "finished" or store.model_folder(run):
        show_result(run, state)
    else:
        show_failure(run, state)


def wait_words(run: Run) -> str:
    seconds = queue.expected_wait(run)
    return f", about {duration(seconds)} to wait" if seconds and seconds >= 1 else ""


def expected_words(run: Run) -> str:
    expected = forecasts.recorded(run)
    return f" and takes about {forecasts.in_words(expected)}" if expected else ""


def offer_stop(run: Run, state: RunState) -> None:
    waits = state.status == "queued"
    if state.status == "stopping" and st.button(
        "End at once",
        icon=":material/cancel:",
        help="Does not wait until its last weights are kept and judged. What was kept before stays.",
    ):
        cancel(run, now=True)
    if st.button(
        "Take out of the line" if waits else "Stop",
        icon=":material/stop:",
        disabled=state.status == "stopping",
        help=None if waits else "Ends at the next step and keeps the best weights so far.",
    ):
        cancel(run)


def cancel(run: Run, now: bool = False) -> None:
    try:
        queue.cancel(run, now)
    except UserError as error:
        st.error(explain(error))
        return
    if not now:
        st.rerun(scope="fragment")


def share(run: Run) -> None:
    with st.popover("Share", icon=":material/link:", help="A link to this run"):
        st.write("Whoever can reach this server can look at the run under this link, without any buttons:")
        link = run_link(st.context.url, run.id)
        st.code(f"{link}&view=only", language=None, wrap_lines=True)
        st.write("The same with the buttons that stop it, judge it and use it:")
        st.code(link, language=None, wrap_lines=True)


def show_progress(state: RunState, events: list[Event]) -> None:
    started = last_event(events, "started")
    step = last_event(events, "step")
    if started is None:
        st.progress(0.0, "Loading the model")
        return
    total = started["total_steps"]
    if step is None:
        st.progress(0.0, f"Step 0 of {total:,}")
        return
    if step["step"] >= total:
        st.progress(1.0, "Scoring the model on the validation and test texts")
    else:
        st.progress(
            step["step"] / total,
            f"Step {step['step']:,} of {total:,} · epoch {step['epoch']:.1f} of {started['epochs']} · "
            f"{duration(step['seconds_left'])} left · {step['samples_per_second']:,.0f} texts per second",
        )
    show_live_numbers(step, last_event(events, "evaluated"))


def last_event(events: list[Event], kind: str) -> Event | None:
    return next((event for event in reversed(events) if event["type"] == kind), None)


def show_live_numbers(step: Event, evaluated: Event | None) -> None:
    with st.container(horizontal=True):
        st.metric("Training loss", f"{step['loss']:.3f}", border=True, width=170, help=LOSS_HELP)
        if evaluated:
            st.metric("Validation loss", f"{evaluated['loss']:.3f}", border=True, width=170, help=LOSS_HELP)
            show_scores("Validation", evaluated)
    label = (evaluated or {}).get("collapsed")
    if isinstance(label, str):
        st.warning(
            "So far the model gives (nearly) every validation text the same label, "
            f"{escape_markdown(shorten(label, 40))}. If it stays so: stop, and choose a lower learning rate, "
            "more epochs, or to weigh rare classes more.",
            icon=":material/filter_1:",
        )


LOSS_HELP = (
    "How far the model's probabilities are from the true labels (cross-entropy, in nats). Lower is better."
)
ACCURACY_HELP = "Share of the texts that get the right label."
F1_HELP = (
    "The mean over all classes of F1, which is high only where a class is both found and not named wrongly. "
    "Every class counts the same, however small."
)


def show_scores(name: str, scores: dict[str, Any]) -> None:
    st.metric(f"{name} accuracy", percent(scores["accuracy"]), border=True, width=170, help=ACCURACY_HELP)
    st.metric(f"{name} macro F1", percent(scores["macro_f1"]), border=True, width=170, help=F1_HELP)


def show_result(run: Run, state: RunState) -> None:
    if state.status != "finished":
        st.warning(say(state), icon=STATUS[state.status].icon)
    report = store.report_of(run) or {}
    with st.container(horizontal=True):
        for name in ("test", "validation"):
            if report.get(name):
                show_scores(name.capitalize(), report[name])
    expected = forecasts.recorded(run)
    if expected and state.status == "finished" and (words := forecasts.compared(expected, report)):
        st.caption(f":material/timer: {words}")
    if only_viewing():
        return
    with st.container(horizontal=True):
        if report and st.button("Judge it", type="primary", icon=":material/insights:"):
            st.switch_page(RUNS_PAGE, query_params={"run": run.id})
        if store.model_folder(run) and st.button("Try it", icon=":material/label:"):
            st.switch_page(PREDICT_PAGE, query_params={"run": run.id})
        if state.status != "finished":
            offer_another_try(run)
        share(run)


def show_failure(run: Run, state: RunState) -> None:
    box = st.warning if state.status in ("stopped", "interrupted") else st.error
    box(say(state), icon=STATUS[state.status].icon)
    if only_viewing():
        return
    if state.status != "damaged":
        with st.container(horizontal=True):
            offer_another_try(run)
    elif st.button("Open it under Runs", icon=":material/insights:"):
        st.switch_page(RUNS_PAGE, query_params={"run": run.id})


def say(state: RunState) -> str:
    words = escape_markdown(state.reason)
    return f"{words}\n\n**What to do:** {escape_markdown(state.remedy)}" if state.remedy else words


def offer_another_try(run: Run) -> None:
    """The ways on from a run that did not finish; the first of them is the next step."""
    resumable, smaller = store.can_resume(run), store.smaller_batch(run)
    if resumable and not smaller:
        offer("Resume", "resume", queue.resume, run, primary=True, help="Goes on from the last snapshot.")
    if smaller:
        words = f"Start again with batches of {smaller}"
        offer(words, "replay", queue.submit_again, run, batch_size=smaller, primary=True)
    if resumable and smaller:
        offer("Resume as it is", "resume", queue.resume, run, help="Goes on from the last snapshot.")
    primary = not (resumable or smaller or store.model_folder(run))
    offer("Start again with these settings", "replay", queue.submit_again, run, primary=primary)


def offer(
    words: str,
    icon: str,
    action: Callable[..., Run],
    run: Run,
    primary: bool = False,
    help: str | None = None,
    **changes: int,
) -> None:
    """A button that lets a run go on, or starts another one like it, and shows that one."""
    kind = "primary" if primary else "secondary"
    if st.button(words, type=kind, icon=f":material/{icon}:", help=help):
        try:
            shown = action(run, **changes)
        except UserError as error:
            st.error(explain(error))
            return
        st.query_params.from_dict({"run": shown.id})
        st.rerun()


def show_notes(events: list[Event]) -> None:
    for event in events:
        if event["type"] == "note":
            st.info(escape_markdown(event["message"]), icon=":material/info:")
    started = last_event(events, "started")
    if started and started["truncated"]:
        st.caption(
            f"{count(started['truncated'], 'training text')} of {started['train_texts']:,} "
            "are longer than the max length and were cut."
        )
    shares = [started.get(name) for name in ("padding", "padding_to_longest")] if started else [None]
    if all(isinstance(share, float) for share in shares):
        st.caption(
            f"Texts of like length share a batch: {percent(shares[0], 0)} of what is computed is "
            f"padding, instead of {percent(shares[1], 0)} with all texts padded to the "
            "longest."
        )


def settled(events: list[Event]) -> list[Event]:
    """The events but for those of the last moment: so long no chart changes.

    Whenever each of those who watch looks, they see the same events, and the charts are drawn once for all.
    """
    until = time.time() // STILL_SECONDS * STILL_SECONDS
    # A clock that was set back makes all of them events of the future.
    return events[: bisect_left(events, until, key=lambda event: event["time"])] or events


def show_curves(run: Run, events: list[Event], baselines: dict[str, float]) -> None:
    if not events:
        return
    drawn = draw_curves(run.id, len(events), events[-1]["time"], baselines, events)
    for name, column, (spec, words) in zip(
        ("loss", "scores"), st.columns(2, gap="large"), drawn, strict=False
    ):
        column.vega_lite_chart(spec=spec, key=name, alt=words)


@st.cache_data(max_entries=64, show_spinner=False)
def draw_curves(
    run_id: str, events: int, until: float, baselines: dict[str, float], _events: list[Event]
) -> list[tuple[dict[str, Any], str]]:
    """The charts and their words; drawn once for all who watch, however many and however often."""
    losses, scores = charts.loss_table(_events), charts.score_table(_events)
    drawn = []
    if not losses.empty:
        drawn.append((charts.to_spec(charts.loss_curves(losses)), charts.describe_losses(losses)))
    if not scores.empty:
        words = charts.describe_scores(scores, baselines)
        drawn.append((charts.to_spec(charts.score_curves(scores, baselines)), words))
    return drawn


def show_log(run: Run) -> None:
    opened = st.expander("Log", icon=":material/article:", key="log", on_change="rerun")
    if opened.open:
        with opened:
            st.fragment(follow_log, run_every=2.0 if store.state(run).live else None)(run)


def follow_log(run: Run) -> None:
    st.code(store.log_of(run) or "Nothing printed yet.", language=None, height=300, wrap_lines=True)


# The line


def show_line(shown: Run | None) -> None:
    # Runs leave the line by themselves, also when the one shown has ended and nothing else is drawn again.
    st.fragment(draw_line, run_every=LINE_EVERY_SECONDS if waiting_behind(shown) else None)(shown)


def draw_line(shown: Run | None) -> None:
    others = waiting_behind(shown)
    if not others:
        return
    st.subheader("Waiting in line")
    for run in others:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(f"place {queue.position(run) or 1}", color="gray")
            st.text(run.name)
            if st.button("Show", key=f"show_{run.id}", type="tertiary"):
                open_run(run)


def waiting_behind(shown: Run | None) -> list[Run]:
    return [run for run in store.waiting_runs() if not shown or run.id != shown.id]


if "routed" not in st.session_state:
    # Until the router has run once, a fresh server opens a linked page beside it, without its menu.
    with suppress(StreamlitAPIException):
        st.switch_page("streamlit_app.py", query_params=st.query_params.to_dict() | {"page": "Train"})
main()
