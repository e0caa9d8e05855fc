"""Three errors, and the closed list of reasons for which a sample may be rejected.

ConfigError   the user's mistake, found before any work; the command line prints it and exits with 2
InputError    bad data: becomes a rejection with its place, and nothing else is lost
StorageError  a file system said no: retried, then the unit fails and the job exits with 1
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a sample is not in the packs. The list is closed: the output contract names it."""

    TAR_TRUNCATED = "tar-truncated"  # the shard ends inside a member, a header, or without an end mark
    TAR_HEADER = "tar-header"  # bytes where a header must stand are none; reading went on at the next one
    TAR_UNSUPPORTED = "tar-unsupported"  # compressed, sparse, link, device, or a size that no shard can have
    PARQUET_INVALID = "parquet-invalid"  # rows of a Parquet shard that cannot be read, or that claim too much
    NAME_INVALID = "name-invalid"  # no extension, over 4,096 bytes, or not UTF-8
    NAME_DUPLICATE = "name-duplicate"  # two members of one sample with the same name
    SAMPLE_SPLIT = "sample-split"  # the members of one key do not stand together
    UNSAFE_TYPE = "unsafe-type"  # a pickle or another member that would run code when loaded
    FIELD_MISSING = "field-missing"  # the format needs a member that the sample has not
    FIELD_INVALID = "field-invalid"  # a member is there and does not hold what the format says
    TEXT_INVALID = "text-invalid"  # not UTF-8, or a lone surrogate
    MEMBER_TOO_LARGE = "member-too-large"  # over limits.max_member_bytes
    TEXT_TOO_LARGE = "text-too-large"  # a text or JSON over limits.max_text_bytes
    SAMPLE_TOO_LARGE = "sample-too-large"  # over limits.max_sample_bytes or limits.max_sample_members in all
    FORMAT_NOT_ALLOWED = "format-not-allowed"  # the bytes are no JPEG, PNG, WebP, GIF, BMP or TIFF
    IMAGE_TOO_LARGE = "image-too-large"  # over limits.max_image_pixels; no pixel was decoded
    IMAGE_SLIVER = "image-sliver"  # thinner than the model family's own processor takes
    DECODE_ERROR = "decode-error"  # the picture is damaged
    DECODE_CRASH = "decode-crash"  # the picture killed the process that decoded it, and again when it was alone there
    DECODE_TIMEOUT = "decode-timeout"  # over limits.decode_timeout_seconds, and again when it was alone
    SCORE_NAN = "score-nan"  # the encoder's value of a region is no number
    REDUCTION_GRID = "reduction-grid"  # a picture has a grid of tokens that the job's reduction cannot take
    REDUCTION_SCORES = "reduction-scores"  # the user's file of scores has none for a picture, or another number of them
    TOO_LONG = "too-long"  # one segment alone exceeds a limit of the sequence, or the job says reject
    NO_LOSS = "no-loss"  # nothing in the sample would be trained
    SAMPLE_REJECTED = "sample-rejected"  # a sound segment of a sample that was rejected for another one
    FILTER_FORMAT = "filter-format"  # an image in a format that the job's filters do not allow
    FILTER_SIZE = "filter-size"  # an image with a side that is too short or too long
    FILTER_ASPECT = "filter-aspect"  # an image that is too wide or too high for its other side
    FILTER_BLUR = "filter-blur"  # an image without sharp edges
    FILTER_REPEATED_IMAGE = "filter-repeated-image"  # the same file stands earlier in the document
    FILTER_NEAR_DUPLICATE = "filter-near-duplicate"  # an image that looks like an earlier one of the document
    FILTER_WORDS = "filter-words"  # too few or too many words in a text, or in the document
    FILTER_CHARACTER_REPETITION = "filter-character-repetition"  # the same runs of characters again and again
    FILTER_WORD_REPETITION = "filter-word-repetition"  # the same runs of words again and again
    FILTER_SPECIAL_CHARACTERS = "filter-special-characters"  # too much that is no letter
    FILTER_STOPWORDS = "filter-stopwords"  # too few of the words that hold sentences together
    FILTER_FLAGGED_WORDS = "filter-flagged-words"  # too many words of the list of flagged ones
    FILTER_COMMON_WORDS = "filter-common-words"  # too few words of the list of common ones
    FILTER_IMAGE_TEXT = "filter-image-text"  # an image that has nothing to do with the text beside it
    FILTER_SELECTION = "filter-selection"  # an image that is not among those that fit their texts best
    FILTER_IMAGES = "filter-images"  # too few or too many images in the document
    FILTER_SINGLE_IMAGE = "filter-single-image"  # a document of one image, of which only a share is kept
    FILTER_PUNCTUATION = "filter-punctuation"  # too few punctuation marks in the document
    FILTER_LANGUAGE = "filter-language"  # another language than those allowed, or none that is clear
    FILTER_SPAM = "filter-spam"  # too many words of the list of spam words
    FILTER_PERPLEXITY = "filter-perplexity"  # the user's language model found the document too unlikely
    FILTER_TEXT_SEQUENCE = "filter-text-sequence"  # the texts do not follow from each other
    FILTER_IMAGE_SEQUENCE = "filter-image-sequence"  # images are no more like their neighbours than like the others
    FILTER_DUPLICATE_DOCUMENT = "filter-duplicate-document"  # the same document stands earlier in the unit
    FILTER_DUPLICATE_IMAGE = "filter-duplicate-image"  # an image that stands in too many documents of the unit


class LodepackError(Exception):
    """The root of the three; its text is one line: what was found and where; what was expected; what to do."""


class ConfigError(LodepackError):
    """The job, the command line or the output folder does not fit; raised before any work."""


class StorageError(LodepackError):
    """Storage failed after its retries; the unit in hand is not committed."""


class RefusedError(StorageError):
    """Storage said no for good: no permission, no room, no such bucket. Nobody asks again before a person has acted."""


class InputError(LodepackError):
    """Bad data, with the reason that the rejects table will carry.

    member, offset and size (bytes) say where; segment is the index of the guilty segment of its document.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        member: str = "",
        offset: int = 0,
        size: int = 0,
        segment: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.member = member
        self.offset = offset
        self.size = size
        self.segment = segment
