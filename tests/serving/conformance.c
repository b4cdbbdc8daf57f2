/* Answers a request of an exported model through TensorFlow's C API: no Python, no funnel.
 *
 *     conformance EXPORT REQUEST
 *
 * REQUEST is text. `input TENSOR float|string RANK SIZE...` is followed by the values, each on its line: a number as C reads it,
 * or `LENGTH BYTES`. `output TENSOR NAME` asks for a float tensor. Names of tensors are those that the SignatureDef gives.
 * The answer is `NAME COUNT`, then the values in hexadecimal, which lose no bit. */

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tensor.h"
#include "tensorflow/c/tf_tstring.h"

enum { MOST = 256, NAME = 512, RANK = 4 };

struct request {
  int inputs, outputs;
  TF_Output in[MOST], out[MOST];
  TF_Tensor *given[MOST];
  char name[MOST][NAME];
};

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(1);
}

static void require_ok(const TF_Status *status, const char *what) {
  if (TF_GetCode(status) != TF_OK) fail("%s: %s", what, TF_Message(status));
}

/* `predict_age:0` is the first output of the operation `predict_age`. */
static TF_Output find(TF_Graph *graph, char *tensor) {
  char *colon = strrchr(tensor, ':');
  int index = colon ? atoi(colon + 1) : 0;
  if (colon) *colon = '\0';
  TF_Output found = {TF_GraphOperationByName(graph, tensor), index};
  if (found.oper == NULL) fail("no operation %s in the graph", tensor);
  return found;
}

static void read_float(FILE *file, float *value) {
  char text[64];
  if (fscanf(file, "%63s", text) != 1) fail("a number is missing");
  *value = strtof(text, NULL);
}

static void read_string(FILE *file, TF_TString *value) {
  size_t length;
  if (fscanf(file, "%zu", &length) != 1 || fgetc(file) != ' ') fail("a text is missing");
  char *bytes = malloc(length + 1);
  if (bytes == NULL || fread(bytes, 1, length, file) != length) fail("a text is cut off");
  TF_StringInit(value);
  TF_StringCopy(value, bytes, length);
  free(bytes);
}

static TF_Tensor *read_tensor(FILE *file, int is_text) {
  int rank;
  int64_t sizes[RANK], count = 1;
  if (fscanf(file, "%d", &rank) != 1 || rank < 0 || rank > RANK) fail("got no rank up to %d", RANK);
  for (int axis = 0; axis < rank; axis++) {
    long long size;
    if (fscanf(file, "%lld", &size) != 1 || size < 0) fail("got no size of axis %d", axis);
    sizes[axis] = size;
    count *= size;
  }
  TF_DataType kind = is_text ? TF_STRING : TF_FLOAT;
  TF_Tensor *tensor = TF_AllocateTensor(kind, sizes, rank, (size_t)count * (is_text ? sizeof(TF_TString) : sizeof(float)));
  if (tensor == NULL) fail("no memory for a tensor");
  for (int64_t at = 0; at < count; at++) {
    if (is_text)
      read_string(file, (TF_TString *)TF_TensorData(tensor) + at);
    else
      read_float(file, (float *)TF_TensorData(tensor) + at);
  }
  return tensor;
}

static void read_request(FILE *file, TF_Graph *graph, struct request *request) {
  char what[NAME], tensor[NAME], kind[NAME];
  while (fscanf(file, "%511s", what) == 1) {
    if (fscanf(file, "%511s %511s", tensor, kind) != 2) fail("%s: two words are missing", what);
    if (strcmp(what, "input") == 0 && request->inputs < MOST) {
      request->in[request->inputs] = find(graph, tensor);
      request->given[request->inputs++] = read_tensor(file, strcmp(kind, "string") == 0);
    } else if (strcmp(what, "output") == 0 && request->outputs < MOST) {
      request->out[request->outputs] = find(graph, tensor);
      strcpy(request->name[request->outputs++], kind);
    } else {
      fail("got %s, expected input or output, at most %d of each", what, MOST);
    }
  }
}

static void print_answer(const char *name, TF_Tensor *tensor) {
  if (TF_TensorType(tensor) != TF_FLOAT) fail("%s: got no float tensor", name);
  const float *values = TF_TensorData(tensor);
  int64_t count = TF_TensorElementCount(tensor);
  printf("%s %lld\n", name, (long long)count);
  for (int64_t at = 0; at < count; at++) printf("%a\n", values[at]);
}

int main(int count, char **arguments) {
  if (count != 3) fail("usage: %s EXPORT REQUEST", arguments[0]);
  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  const char *tags[] = {"serve"};
  TF_Session *session = TF_LoadSessionFromSavedModel(options, NULL, arguments[1], tags, 1, graph, NULL, status);
  require_ok(status, arguments[1]);

  FILE *file = fopen(arguments[2], "rb");
  if (file == NULL) fail("%s: cannot be read", arguments[2]);
  static struct request request;
  read_request(file, graph, &request);
  fclose(file);

  TF_Tensor *answer[MOST] = {NULL};
  TF_SessionRun(session, NULL, request.in, request.given, request.inputs, request.out, answer, request.outputs, NULL, 0, NULL,
                status);
  require_ok(status, "run");
  for (int at = 0; at < request.outputs; at++) print_answer(request.name[at], answer[at]);

  for (int at = 0; at < request.outputs; at++) TF_DeleteTensor(answer[at]);
  for (int at = 0; at < request.inputs; at++) TF_DeleteTensor(request.given[at]);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return 0;
}
