"""google.actions.sdk.v2.ActionsSdk: three client streams, two server streams, five unary methods.

Every answer is a function of the request, so that a client can check it.
"""

from firestore import bounded, stamp


class ActionsSdk:
    def __init__(self, schema):
        self._schema = schema

    def _new(self, name, /, **fields):
        return self._schema.message("google.actions.sdk.v2." + name)(**fields)

    def _results(self, requests):
        """One validation result for each element of the stream, in order; and the parent of the first."""
        parent, results = "", self._new("ValidationResults")
        for index, request in enumerate(requests):
            parent = parent or request.parent
            results.results.add(validation_message=f"{index}: {described(request)}").validation_context.language_code = "en"
        return parent, results

    def WriteDraft(self, requests, context):
        parent, results = self._results(requests)
        return self._new("Draft", name=f"{parent}/draft", validation_results=results)

    def WritePreview(self, requests, context):
        parent, results = self._results(requests)
        return self._new("Preview", name=f"{parent}/previews/1", validation_results=results, simulator_url="https://simulator.example/1")

    def CreateVersion(self, requests, context):
        parent, results = self._results(requests)
        version = self._new("Version", name=f"{parent}/versions/{len(results.results)}", creator="upstream")
        stamp(version.update_time)
        version.version_state.state = 3
        version.version_state.message = "; ".join(result.validation_message for result in results.results)
        return version

    def ReadDraft(self, request, context):
        for index in range(3):
            yield self._files("ReadDraftResponse", f"{request.name}/{index}", request.client_secret_encryption_key_version)

    def ReadVersion(self, request, context):
        for index in range(2):
            yield self._files("ReadVersionResponse", f"{request.name}/{index}", request.client_secret_encryption_key_version)

    def _files(self, name, path, content):
        response = self._new(name)
        file = response.files.data_files.data_files.add(file_path=path, content_type="text/plain;zone=test")
        file.payload = content.encode()
        return response

    def EncryptSecret(self, request, context):
        secret = request.client_secret.encode()[::-1]
        response = self._new("EncryptSecretResponse")
        response.account_linking_secret.encrypted_client_secret = secret
        response.account_linking_secret.encryption_key_version = "v1"
        return response

    def DecryptSecret(self, request, context):
        return self._new("DecryptSecretResponse", client_secret=request.encrypted_client_secret[::-1].decode(errors="replace"))

    def ListSampleProjects(self, request, context):
        response = self._new("ListSampleProjectsResponse", next_page_token=request.page_token + "+")
        for index in bounded(request.page_size):
            response.sample_projects.add(name=f"sampleProjects/{index}", description=f"a sample, nr. {index} «ünï»")
        return response

    def ListReleaseChannels(self, request, context):
        response = self._new("ListReleaseChannelsResponse", next_page_token=request.page_token)
        for index in bounded(request.page_size):
            response.release_channels.add(name=f"{request.parent}/releaseChannels/{index}", current_version=f"versions/{index}")
        return response

    def ListVersions(self, request, context):
        response = self._new("ListVersionsResponse", next_page_token=request.page_token)
        for index in bounded(request.page_size):
            version = response.versions.add(name=f"{request.parent}/versions/{index}", creator="upstream")
            version.version_state.state = index % 4
            stamp(version.update_time)
        return response


def described(request):
    """What an element of a client stream brought, in a line."""
    if not request.HasField("files"):
        return request.parent
    if request.files.HasField("data_files"):
        return ", ".join(f"{file.file_path} of {len(file.payload)} bytes" for file in request.files.data_files.data_files)
    return ", ".join(file.file_path for file in request.files.config_files.config_files)
