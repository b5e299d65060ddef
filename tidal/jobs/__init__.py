"""Export jobs: datasets written to files in the background, remembered over restarts."""

from tidal.jobs.folder import JobFolder
from tidal.jobs.job import Job, JobStatus
from tidal.jobs.jobs import Jobs
from tidal.jobs.limits import JobLimits
from tidal.jobs.request import JobRequest

__all__ = ["Job", "JobFolder", "JobLimits", "JobRequest", "JobStatus", "Jobs"]
