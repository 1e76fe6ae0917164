"""How large YFCC15M is."""

#: Rows of ``yfcc100m_subset_data.tsv`` (https://github.com/openai/CLIP/blob/main/data/yfcc100m.md).
LISTED = 14_829_396
#: Pairs that SLIP was trained on: those of the list whose pictures its authors had.
CAPTIONED = 14_689_580
#: Pairs of the other set that goes by this name, about.
DECLIP_PAIRS = 15_390_000
DECLIP = (
    "Beware of DeCLIP's recaptioned set of the same name (15.39 million pairs, on Hugging Face as "
    "Kaichengalex/YFCC15M): only 6.64 million of its pairs are on OpenAI's list, and its captions "
    "are machine-made. "
)
