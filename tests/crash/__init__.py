"""Exports that are stopped anywhere, and run again: the old table or the new one, and in the end the exact rows.

    python -m tests.crash --runs 100

``matrix`` runs command lines of ``dicom-bq export`` in processes of their own, stops them by SIGKILL or SIGINT at
random moments, and looks at the table as another program would.
"""
