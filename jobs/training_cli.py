"""`lodepack tokenizer train`, `relevance train` and `codebook train` on the command line."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.options import InputUrl, JobFile, Json, Overrides, print_json

tokenizer_app = typer.Typer(help="Tokenizers.", no_args_is_help=True)
codebook_app = typer.Typer(help="Codebooks, whose ids pictures are written in.", no_args_is_help=True)
relevance_app = typer.Typer(help="Encoders that say how well a region fits what is asked.", no_args_is_help=True)


@tokenizer_app.command(
    "train", epilog="Example: `lodepack tokenizer train jobs/quickstart.yaml --vocab-size 4096 --output my.model`"
)
def tokenizer_train(
    job: JobFile,
    kind: Annotated[
        str, typer.Option(help="unigram (SentencePiece), bpe (byte-level) or wordpiece (not lossless).")
    ] = "unigram",
    vocab_size: Annotated[int, typer.Option(min=300, help="Pieces, bytes and special tokens among them.")] = 8000,
    output: Annotated[
        str | None, typer.Option(metavar="FILE", help="Tokenizer file; by default the job's tokenizer.")
    ] = None,
    lowercase: Annotated[bool, typer.Option("--lowercase", help="With wordpiece: drop capitals and accents.")] = False,
    input: InputUrl = [],  # noqa: A002, B006
    set: Overrides = [],  # noqa: A002, B006
    as_json: Json = False,
) -> None:
    """Train a tokenizer on the text of the job's shards, with the profile's special tokens as guarded ids.

    unigram writes a SentencePiece model, bpe and wordpiece a tokenizer.json. unigram and bpe give back any text as it
    was; wordpiece loses spacing and unknown words.
    """
    from jobs.spec import load_job
    from jobs.train import train_tokenizer

    spec = load_job(job, set, input__shards=input or None)
    trained = train_tokenizer(
        spec, kind=kind, vocab_size=vocab_size, target=output or spec.tokenizer, lowercase=lowercase
    )
    if as_json:
        print_json(trained)
    else:
        typer.echo(
            f"wrote {trained['model']}: {trained['pieces']} {kind} pieces, {len(trained['special_tokens'])} special; "
            f"a model needs {trained['size']} embeddings, {trained['embeddings_added']} of them beyond the file's"
        )


@relevance_app.command(
    "train", epilog="Example: `lodepack relevance train jobs/quickstart.yaml --out my.safetensors --steps 100`"
)
def relevance_train(
    job: JobFile,
    out: Annotated[str, typer.Option(metavar="FILE", help="New file of weights, *.safetensors.")],
    steps: Annotated[int, typer.Option(min=1, help="Batches of 32 pictures.")] = 300,
    limit: Annotated[int, typer.Option(min=1, help="Pictures of the first N samples.")] = 1000,
    input: InputUrl = [],  # noqa: A002, B006
    set: Overrides = [],  # noqa: A002, B006
    as_json: Json = False,
) -> None:
    """Fit the small encoder that ships to the job's own pictures and the text beside them.

    Of documents and captions; conversations are passed over. On the CPU, a second or so a step.
    """
    from jobs.progress import Screen
    from jobs.relevance import train_relevance
    from jobs.spec import load_job

    spec = load_job(job, set, input__shards=input or None)
    with Screen(quiet=as_json) as screen:
        trained = train_relevance(spec, target=out, steps=steps, limit=limit, progress=screen)
    if as_json:
        print_json(trained)
    else:
        typer.echo(
            f"wrote {trained['encoder']}: {trained['steps']} steps on {trained['regions']} regions of "
            f"{trained['pictures']} pictures; loss {trained['losses'][0]:.3f} at the start, "
            f"{trained['losses'][1]:.3f} at the end"
        )


@codebook_app.command(
    "train", epilog="Example: `lodepack codebook train jobs/quickstart.yaml --codes 1024 --output my.safetensors`"
)
def codebook_train(
    job: JobFile,
    output: Annotated[str, typer.Option(metavar="FILE", help="New codebook, *.safetensors.")],
    codes: Annotated[int, typer.Option(min=2, help="Ids of the codebook.")] = 8192,
    layout: Annotated[
        str | None, typer.Option(help="chameleon, emu3 or llamagen; by default that of the job, or chameleon.")
    ] = None,
    downsample: Annotated[
        int | None, typer.Option(min=1, help="Pixels of a patch's side; by default the layout's.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=0, help="Most rounds of k-means.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the patches that it starts from.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="Pictures of the first N samples.")] = 1000,
    gpu: Annotated[bool, typer.Option("--gpu", help="Measure distances on a GPU; the same codes.")] = False,
    input: InputUrl = [],  # noqa: A002, B006
    set: Overrides = [],  # noqa: A002, B006
    as_json: Json = False,
) -> None:
    """Fit a codebook to patches of the job's pictures by k-means in integers: the same bytes on every machine."""
    from jobs.codebook import train_codebook
    from jobs.progress import Screen
    from jobs.spec import load_job

    spec = load_job(job, set, input__shards=input or None)
    with Screen(quiet=as_json) as screen:
        trained = train_codebook(
            spec,
            target=output,
            num_codes=codes,
            layout=layout,
            downsample=downsample,
            rounds=rounds,
            seed=seed,
            limit=limit,
            device="cuda" if gpu else "cpu",
            progress=screen,
        )
    if as_json:
        print_json(trained)
        return
    where = f"of {trained['judged_on']} pictures" if trained["held_out"] else "of the same pictures"
    typer.echo(
        f"wrote {trained['codebook']}: {trained['codes']} codes of {trained['downsample']}x{trained['downsample']} "
        f"pixels from {trained['patches']} patches of {trained['pictures']} pictures; PSNR {trained['psnr']:.2f} dB "
        f"{where}, {trained['baseline_psnr']:.2f} dB for each picture's mean colour"
    )
