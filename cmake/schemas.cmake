# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

# asyncapi_complete(in out files): copies the document and puts, where a line `#@job-types <indent>` stands, one entry a
# job type, so that a new type needs no second list.
function(asyncapi_complete in out files)
  file(READ ${in} document)
  set(entries "")
  foreach(file ${files})
    get_filename_component(name ${file} NAME)
    if(name MATCHES "^[a-z]+\\.[a-z-]+\\.json$")
      string(REGEX REPLACE "\\.json$" "" type ${name})
      string(APPEND entries "          - $ref: './${name}'\n")
    endif()
  endforeach()
  string(REGEX REPLACE "[ ]*#@job-types[^\n]*\n" "${entries}" document "${document}")
  file(CONFIGURE OUTPUT ${out} CONTENT "${document}" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${in})
endfunction()

# schemas_embed(TARGET): a library that holds every file of schemas/ (worker/schemas.h). The AsyncAPI document is
# completed on the way: for each schemas/<area>.<verb>.json, its message is listed where the marker stands, so that a
# new job type needs no second entry. VIRTJOB_SCHEMAS becomes the list of the files as they are published.
function(schemas_embed target)
  set(out ${CMAKE_BINARY_DIR}/schemas)
  file(MAKE_DIRECTORY ${out})
  file(GLOB files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/schemas/*.json)
  list(SORT files)

  foreach(file ${files})
    get_filename_component(name ${file} NAME)
    configure_file(${file} ${out}/${name} COPYONLY)
  endforeach()

  set(asyncapi ${CMAKE_SOURCE_DIR}/schemas/asyncapi.yaml)
  if(EXISTS ${asyncapi})
    asyncapi_complete(${asyncapi} ${out}/asyncapi.yaml "${files}")
  endif()

  set(assembly ".section .rodata\n")
  set(table "")
  set(index 0)
  set(embedded ${files})
  if(EXISTS ${asyncapi})
    list(APPEND embedded ${asyncapi})
  endif()
  set(inputs "")
  foreach(file ${embedded})
    get_filename_component(name ${file} NAME)
    string(APPEND assembly
           ".global schemas_file_${index}\nschemas_file_${index}: .incbin \"${out}/${name}\"\n.byte 0\n"
           ".global schemas_file_${index}_end\nschemas_file_${index}_end:\n")
    string(APPEND table "FILE_ROW(\"${name}\", schemas_file_${index})\n")
    list(APPEND inputs ${out}/${name})
    math(EXPR index "${index} + 1")
  endforeach()
  string(APPEND assembly ".section .note.GNU-stack,\"\",%progbits\n")
  file(CONFIGURE OUTPUT ${out}/embedded.S CONTENT "${assembly}" @ONLY)
  file(CONFIGURE OUTPUT ${out}/embedded.inc CONTENT "${table}" @ONLY)
  set_source_files_properties(${out}/embedded.S PROPERTIES OBJECT_DEPENDS "${inputs}")

  add_library(${target} STATIC ${CMAKE_SOURCE_DIR}/worker/schemas.c ${out}/embedded.S)
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR}/worker PRIVATE ${out})
  target_link_libraries(${target} PUBLIC data)
  list(FILTER inputs INCLUDE REGEX "\\.(json|yaml)$")
  set(VIRTJOB_SCHEMAS ${inputs} PARENT_SCOPE)
endfunction()
