"""The exception tree: every error says what was wrong with which value, the likely cause, and the remedy."""

from __future__ import annotations


class KgeditError(Exception):
    """Base of everything that kgedit raises on purpose; the command line shows it as one line, exit code 2."""


class EditError(KgeditError):
    """The requested edit cannot be carried out as asked; correct the request."""


class SubjectNotFound(EditError):
    """The prompt does not contain the subject; use the subject's wording in the prompt, or "{}" in its place."""


class SubjectAmbiguous(EditError):
    """The prompt contains the subject more than once; mark the one that is meant with "{}"."""


class PromptError(EditError):
    """The prompt has no slot, several slots, or is longer than the model's context."""


class NoLabel(EditError):
    """An item has no label in the graph, so that a text would name it by its id; give the graph a label, or a text."""


class TargetError(EditError):
    """The target is empty, turns into no token, or is already the current object."""


class UnknownRelationText(EditError):
    """The relation has no wordings in relations.toml; pass a prompt, or add the relation there."""


class EditDiverged(EditError):
    """The optimisation reached NaN or infinity; lower the learning rate or the clamp, or compute in float32."""


class UnknownEdit(KgeditError):
    """No applied edit has this id; `Editor.history` lists those that have."""


class ModelError(KgeditError):
    """The model cannot be loaded or edited."""


class UnknownModel(ModelError):
    """No bundled model, folder or hub id of this name can be loaded; check the spelling and the network."""


class LoadingError(ModelError):
    """A device, precision or revision does not fit the model or this machine; the message lists what there is."""


class FetchFailed(ModelError):
    """A model could not be fetched: unknown name, no pip, or no package index; the message says which."""


class ChatTemplateError(ModelError):
    """The model has no chat template, or it fails; ask without --chat."""


class UnsupportedModel(ModelError):
    """The model's family has no row in lm/anatomy.py, or a layer is of a kind that cannot be edited."""


class NoSuchLayer(ModelError):
    """The layer index is outside the model; layers are counted from 0."""


class SlowTokenizer(ModelError):
    """The tokenizer gives no character offsets; load the model's fast tokenizer."""


class UnknownMethod(KgeditError):
    """No editing method of this name is registered; `kgedit models` lists the methods."""


class UntrainedEditor(KgeditError):
    """A method that learns to edit has not been trained for this model; the message names the command that does."""


class SettingError(KgeditError):
    """A method has no setting of this name, or it cannot have this value; the message lists what there is."""


class MomentError(KgeditError):
    """Second-moment statistics are missing or unusable."""


class MomentMismatch(MomentError):
    """The statistics belong to other weights, another corpus or another length; collect them anew."""


class IllConditioned(MomentError):
    """The second moment is singular even with a ridge; collect it from more text."""


class FileCorrupt(KgeditError):
    """A delta, moments or model file is damaged; restore it from a copy or make it anew."""


class SaveFailed(KgeditError):
    """A file could not be written (disk full, read-only folder); nothing was left half-written."""


class WrongBase(KgeditError):
    """The delta was computed on other weights than those it is applied to; load the model that it names."""


class UnsupportedExport(KgeditError):
    """The delta cannot be written in the asked format."""


class HubFailed(KgeditError):
    """The Hugging Face hub cannot be reached, or refuses; check name and network, and log in."""


class AlreadyApplied(KgeditError):
    """The same delta is applied already; applying it again would double it. Revert it first."""


class WeightsChanged(KgeditError):
    """Something else wrote to an edited weight meanwhile; take that back first, or reload the model."""


class DataError(KgeditError):
    """Benchmark data cannot be read: no such file, damaged, or too large; check the path, or fetch the file again."""


class UnknownFormat(DataError):
    """No record has the keys of a known benchmark format; compare the keys, or name the format explicitly."""


class TracingError(KgeditError):
    """A prompt cannot be traced as asked; the message says what does not fit."""


class EvaluationError(KgeditError):
    """The evaluation cannot be run as asked; the message says which option does not fit."""


class OtherRun(EvaluationError):
    """The folder holds the results of a run with other settings; continue with those, or take another folder."""


class NotReverted(KgeditError):
    """Weights differ after an edit was taken back; nothing after that can be trusted."""


class MissingExtra(KgeditError):
    """A part of kgedit needs packages that are not installed; the message names the extra to install."""


class WorkerFailed(KgeditError):
    """A worker process raised or was lost again and again; the message names its part of the work and the reason."""


class Stopped(KgeditError):
    """Work was stopped by whoever asked for it, and nothing was changed; ask again when you want it."""


class PluginError(KgeditError):
    """An installed plugin cannot be loaded, or its name is taken; update, rename or uninstall it."""


class FeedError(KgeditError):
    """A feed of changes cannot be read at all: no such file, unknown layout, a column missing; correct that."""


class FeedAway(FeedError):
    """A source that is followed cannot be read for now; it is looked for again."""


class PlanError(KgeditError):
    """A plan file cannot be read or is of another version; make the plan anew."""


class JournalError(KgeditError):
    """A store's journal is missing, of another version, or a step does not follow from the state; see the message."""


class StoreBusy(KgeditError):
    """Another process writes to the store; let it finish, or end it. The message names it."""
