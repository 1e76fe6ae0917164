"""The report's 26 zero-shot tasks: from their sources to ``task.json`` and ``test.tar``.

``table``          what there is: ``data/zeroshot.tsv``
``prompts``        SLIP's class names and templates
``label_order``    from a source's labels to SLIP's classes
``mirrors``        22 tasks, webdataset copies of CLIP_benchmark
``cub``, ``ucf101``, ``kinetics``, ``hateful_memes``   the other four, from their original files
``pictures``       one format for all of them, every picture checked
``prepare``        what the workflow calls
"""
