"""The fuzzer: bytes that were never seen before, and what must be true of whatever becomes of them.

    python -m tests.fuzz --seconds 60

* ``tree`` reads a file as leniently as can be into elements that can be changed, and writes them again;
* ``mutate`` changes them: tags, VRs, lengths, order, nesting, character set, transfer syntax;
* ``seeds`` gathers the files to begin with;
* ``checks`` says what must be true of a batch of files, and ``targets`` collects inputs into such batches;
* ``guided`` lets atheris (libFuzzer) choose what to change, by the code that it reaches; ``unguided`` is for where
  atheris is not installed;
* ``__main__`` runs targets in processes of their own, so that not even a crash or a hang is lost.
"""
